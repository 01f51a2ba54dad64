//! All definitions a server runs on, put together from the embedded tables and the packages added at start.

use std::path::Path;
use std::sync::Arc;

use fhirpath::Schema;
use fhirpath::schema::TypeDefinition;
use rustc_hash::FxHashMap;

use crate::table::{CombinedSearches, OperationDefinition, SearchParameterDefinition, Table, TableError};
use crate::{Compartments, Limits, PackageError, SearchParameters, UsCore, compile_package, registry};

/// The table of R4 in the program, under `ig/`: name and text.
const R4: (&str, &str) = ("r4-4.0.1.jsonl", include_str!("../../ig/r4-4.0.1.jsonl"));

/// All definitions a server runs on.
#[derive(Debug)]
pub struct Definitions {
    /// Types and properties.
    pub schema: Arc<Schema>,
    /// Search parameters by resource type and code.
    pub search_parameters: SearchParameters,
    /// Which parameters put a resource into a compartment.
    pub compartments: Compartments,
    /// The packages these came from: R4, US Core, then those added.
    pub packages: Vec<Package>,
    /// Names of the resource types that can have instances, sorted.
    resource_types: Vec<String>,
}

/// A package that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `hl7.fhir.us.core`.
    pub name: String,
    /// `6.1.0`.
    pub version: String,
    /// Canonical URLs of the profiles on resources it defines, with the type each constrains.
    pub profiles: Vec<(String, String)>,
    /// Canonicals (`URL|version`) of its CapabilityStatements that lay down requirements for servers, to list as
    /// `instantiates`.
    pub capability_statements: Vec<String>,
    /// The searches with several parameters that these ask for.
    pub searches: Vec<CombinedSearches>,
    /// Canonicals of its ImplementationGuides, to list as `implementationGuide`.
    pub implementation_guides: Vec<String>,
    /// The operations it defines.
    pub operations: Vec<OperationDefinition>,
}

/// Why definitions cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// A package cannot be read.
    #[error("package {path}: {cause}")]
    Package {
        /// Its file.
        path: String,
        /// What is wrong.
        cause: PackageError,
    },
    /// A table embedded in the program is broken.
    #[error("embedded table {name}: {cause}")]
    Embedded {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        cause: TableError,
    },
    /// A package defines a type that is there and looks different.
    #[error("package {package} defines the type {name} in another way than it is known")]
    Contradiction {
        /// The package.
        package: String,
        /// The type.
        name: String,
    },
    /// More search parameters than an index can number.
    #[error("more than 65,536 search parameters")]
    TooManySearchParameters,
    /// The types do not fit together.
    #[error(transparent)]
    Schema(#[from] fhirpath::schema::SchemaError),
}

impl Definitions {
    /// Those of R4 and of US Core 6.1.0 that are embedded in the program.
    ///
    /// # Errors
    /// When the embedded tables are broken; a test builds them, so this is a fault of the build.
    pub fn embedded() -> Result<Definitions, DefinitionsError> {
        Definitions::with_packages(&[])
    }

    /// The embedded ones and those of the packages (.tgz) named.
    ///
    /// # Errors
    /// A package that cannot be read, or that contradicts what is there.
    pub fn with_packages(packages: &[&Path]) -> Result<Definitions, DefinitionsError> {
        Definitions::of(UsCore::default(), packages)
    }

    /// Those of R4, of a version of US Core, and of the packages (.tgz) named.
    ///
    /// # Errors
    /// As [`Definitions::with_packages`].
    pub fn of(us_core: UsCore, packages: &[&Path]) -> Result<Definitions, DefinitionsError> {
        let mut tables = Vec::with_capacity(2 + packages.len());
        let us_core = us_core.tables();
        for (name, text) in [R4, (us_core.name, us_core.definitions)] {
            tables.push(Table::read(text).map_err(|cause| DefinitionsError::Embedded { name, cause })?);
        }
        for path in packages {
            tables.push(read_package(path)?);
        }
        Definitions::from_tables(tables)
    }

    /// Those of some tables, the first one's first.
    ///
    /// # Errors
    /// Tables that contradict one another, or types that do not fit together.
    pub fn from_tables(mut tables: Vec<Table>) -> Result<Definitions, DefinitionsError> {
        let schema = Arc::new(Schema::build(&join_types(&mut tables)?)?);
        let parameters: Vec<_> = tables.iter().map(|table| table.search_parameters.as_slice()).collect();
        let search_parameters = registry::build(&schema, &parameters)?;
        let compartments = tables.iter_mut().flat_map(|table| std::mem::take(&mut table.compartments));
        let compartments = Compartments::build(compartments);
        let mut resource_types: Vec<String> = schema.resource_types().map(str::to_owned).collect();
        resource_types.sort_unstable();
        let packages = tables.into_iter().map(Package::from_table).collect();
        Ok(Definitions { schema, search_parameters, compartments, packages, resource_types })
    }

    /// These with more search parameters, whose notices alone are in [`SearchParameters::notices`]. Those that are there
    /// keep their positions, and go before others of the same base and code.
    ///
    /// # Errors
    /// More parameters than an index can number.
    pub fn with_search_parameters(
        &self,
        more: &[SearchParameterDefinition],
    ) -> Result<Definitions, DefinitionsError> {
        Ok(Definitions {
            schema: Arc::clone(&self.schema),
            search_parameters: registry::extend(&self.schema, &self.search_parameters, more)?,
            compartments: self.compartments.clone(),
            packages: self.packages.clone(),
            resource_types: self.resource_types.clone(),
        })
    }

    /// Names of the resource types that can have instances, sorted.
    pub fn resource_types(&self) -> &[String] {
        &self.resource_types
    }

    /// The searches of a resource type with several parameters that packages ask for, each once.
    pub fn combined_searches(&self, resource_type: &str) -> Vec<&[String]> {
        let mut found: Vec<&[String]> = Vec::new();
        for searches in self.packages.iter().flat_map(|package| &package.searches) {
            for parameters in searches.combinations.iter().filter(|_| searches.resource_type == resource_type)
            {
                if !found.contains(&parameters.as_slice()) {
                    found.push(parameters);
                }
            }
        }
        found
    }

    /// Canonical URLs of the profiles on a resource type, in the order of the packages, each once.
    pub fn profiles(&self, resource_type: &str) -> Vec<&str> {
        let mut urls: Vec<&str> = Vec::new();
        for (url, constrained) in self.packages.iter().flat_map(|package| &package.profiles) {
            if constrained == resource_type && !urls.contains(&url.as_str()) {
                urls.push(url);
            }
        }
        urls
    }
}

/// `URL|version`.
fn canonical(url: &str, version: Option<&str>) -> String {
    version.map_or_else(|| url.to_owned(), |version| format!("{url}|{version}"))
}

impl Package {
    fn from_table(table: Table) -> Package {
        Package {
            name: table.package.name,
            version: table.package.version,
            profiles: table.profiles.into_iter().map(|profile| (profile.url, profile.type_name)).collect(),
            capability_statements: table
                .capability_statements
                .iter()
                .map(|it| canonical(&it.url, it.version.as_deref()))
                .collect(),
            searches: table.capability_statements.into_iter().flat_map(|it| it.searches).collect(),
            implementation_guides: table
                .implementation_guides
                .iter()
                .map(|it| canonical(&it.url, it.version.as_deref()))
                .collect(),
            operations: table.operations,
        }
    }
}

fn read_package(path: &Path) -> Result<Table, DefinitionsError> {
    let compiled = std::fs::File::open(path)
        .map_err(PackageError::Archive)
        .and_then(|file| compile_package(file, &Limits::default()));
    compiled.map_err(|cause| DefinitionsError::Package { path: path.display().to_string(), cause })
}

/// All types of the tables, taken out of them. A type that several define alike is there once.
fn join_types(tables: &mut [Table]) -> Result<Vec<TypeDefinition>, DefinitionsError> {
    let mut types: Vec<TypeDefinition> = Vec::new();
    let mut positions: FxHashMap<String, usize> = FxHashMap::default();
    for table in tables {
        for definition in std::mem::take(&mut table.types) {
            match positions.get(&definition.name).and_then(|&at| types.get(at)) {
                Some(known) if *known == definition => {}
                Some(_) => {
                    let package = format!("{} {}", table.package.name, table.package.version);
                    return Err(DefinitionsError::Contradiction { package, name: definition.name });
                }
                None => {
                    positions.insert(definition.name.clone(), types.len());
                    types.push(definition);
                }
            }
        }
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_ones_are_r4_and_us_core() {
        let definitions = Definitions::embedded().unwrap();
        let packages: Vec<_> =
            definitions.packages.iter().map(|it| (it.name.as_str(), it.version.as_str())).collect();
        assert_eq!(packages, [("hl7.fhir.r4.core", "4.0.1"), ("hl7.fhir.us.core", "6.1.0")]);
        assert_eq!(definitions.resource_types().len(), 146);
        assert!(definitions.resource_types().is_sorted());
        assert!(
            !definitions.resource_types().iter().any(|name| name == "Resource" || name == "DomainResource")
        );
        let us_core = &definitions.packages[1];
        let base = "http://hl7.org/fhir/us/core";
        assert_eq!(
            us_core.capability_statements,
            [format!("{base}/CapabilityStatement/us-core-server|6.1.0")]
        );
        assert_eq!(
            us_core.implementation_guides,
            [format!("{base}/ImplementationGuide/hl7.fhir.us.core|6.1.0")]
        );
        assert_eq!(us_core.operations.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), ["docref"]);
    }

    #[test]
    fn each_version_of_us_core() {
        let preference = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-care-experience-preference";
        for us_core in UsCore::ALL {
            let definitions = Definitions::of(us_core, &[]).unwrap();
            let package = &definitions.packages[1];
            assert_eq!(
                (package.name.as_str(), package.version.as_str()),
                ("hl7.fhir.us.core", us_core.version())
            );
            assert_eq!(
                package.capability_statements,
                [format!("http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server|{us_core}")]
            );
            let is_there = definitions.profiles("Observation").contains(&preference);
            assert_eq!(is_there, us_core >= UsCore::V7_0_0);
            let searches = definitions.combined_searches("Observation");
            for wanted in
                [["patient", "category"].as_slice(), &["patient", "category", "date"], &["patient", "code"]]
            {
                assert!(searches.iter().any(|it| *it == wanted), "{us_core}: {wanted:?} of {searches:?}");
            }
        }
    }

    #[test]
    fn profiles_by_type() {
        let definitions = Definitions::embedded().unwrap();
        let us_core = "http://hl7.org/fhir/us/core/StructureDefinition";
        assert_eq!(definitions.profiles("Patient"), [format!("{us_core}/us-core-patient")]);
        assert!(
            definitions
                .profiles("Observation")
                .contains(&"http://hl7.org/fhir/StructureDefinition/vitalsigns")
        );
        assert!(definitions.profiles("Basic").is_empty());
    }

    #[test]
    fn a_package_that_is_not_there_is_named() {
        let error = Definitions::with_packages(&[Path::new("/nowhere/x.tgz")]).unwrap_err().to_string();
        assert!(error.starts_with("package /nowhere/x.tgz: cannot be unpacked: "), "{error}");
    }

    #[test]
    fn a_type_is_defined_in_one_way() {
        let r4 = || Table::read(R4.1).unwrap();
        let again = Definitions::from_tables(vec![r4(), r4()]).unwrap();
        assert_eq!(again.resource_types().len(), 146, "the same once more does no harm");
        let mut other = r4();
        other.types.iter_mut().find(|it| it.name == "Period").unwrap().elements.pop();
        let error = Definitions::from_tables(vec![r4(), other]).unwrap_err().to_string();
        assert_eq!(
            error,
            "package hl7.fhir.r4.core 4.0.1 defines the type Period in another way than it is known"
        );
    }
}
