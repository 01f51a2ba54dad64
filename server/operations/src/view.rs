//! `$viewdefinition-run` and `ViewDefinition/$run` (<https://build.fhir.org/ig/FHIR/sql-on-fhir-v2/operations-run.html>): the rows
//! that a ViewDefinition makes of the resources stored, or of those that are sent with it. Views themselves are crate `views`'.
//!
//! R4 has no type ViewDefinition, so none is stored: the view comes with the call. The whole table is one answer, of at most
//! [`MAX_BYTES`].

mod request;

use fhirpath::expression::{DateTime, Environment};
use fhirpath::{IssueType, Tree};
use interaction::{Caller, Failure, OperationDescriptor, Outcome, ReadConditions, Service, Status};
use store::{Comparison, Cursor, Filter, Key, Permission, Query};
use views::View;
use views::write::Writer;

use crate::parameters::refuse;
use crate::{Invocation, Operation, Running, everything};
use request::{Request, Source};

pub(crate) const VIEWDEFINITION_RUN: Operation = operation("viewdefinition-run", &[], true);
pub(crate) const RUN: Operation = operation("run", &["ViewDefinition"], false);
/// The names of both.
pub(crate) const NAMES: [&str; 2] = ["viewdefinition-run", "run"];

const fn operation(name: &'static str, resource_types: &'static [&'static str], system: bool) -> Operation {
    Operation {
        descriptor: OperationDescriptor {
            name,
            definition: "http://sql-on-fhir.org/OperationDefinition/$viewdefinition-run",
            resource_types,
            system,
            type_level: !system,
            instance: false,
            affects_state: false,
        },
        handler: |service, caller, invocation| Box::pin(run(service, caller, invocation)) as Running<'_>,
    }
}

/// Resources asked of the store at once.
const STEP: usize = 500;
/// Most bytes of a table.
const MAX_BYTES: usize = 64 << 20;

async fn run(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let request = Request::read(service, &invocation)?;
    let mut table = Table::new(service, &request)?;
    match &request.source {
        Source::Sent(resources) => {
            for resource in resources {
                if !table.add(resource)? {
                    break;
                }
            }
        }
        Source::Stored { patients, groups, since } => {
            let mut subjects = patients.clone();
            for group in groups {
                let none = ReadConditions::default();
                interaction::read(service, caller, group.resource_type(), group.id(), &none).await?;
                let members = everything::members(service, caller, group.clone()).await?;
                subjects.extend(members);
            }
            let anywhere = patients.is_empty() && groups.is_empty();
            let filter = stored(service, request.view.resource(), (!anywhere).then_some(&subjects), *since)?;
            add_stored(service, caller, filter, &mut table).await?;
        }
    }
    Ok(Outcome::other(request.format.media_type(), table.finish()?))
}

/// Adds the rows of what a filter finds.
async fn add_stored(
    service: &Service,
    caller: &Caller,
    filter: Filter,
    table: &mut Table<'_>,
) -> Result<(), Failure> {
    let mut query = Query {
        resource_type: Some(table.view.resource().into()),
        filter,
        sort: Vec::new(),
        after: None,
        limit: STEP,
        total: false,
    };
    caller.require(Permission::Search, table.view.resource())?;
    loop {
        let page = service.store.search(&caller.tenant, &caller.access, &query).await?;
        for version in page.matches {
            let tree = Tree::parse_json(
                &service.definitions.schema,
                version.body.to_vec(),
                &fhirpath::tree::Limits::DEFAULT,
            );
            let tree = tree.map_err(|_| {
                Failure::new(Status::Internal, IssueType::Exception, "A stored resource cannot be read.")
            })?;
            if !table.add(&tree)? {
                return Ok(());
            }
        }
        let next: Option<Cursor> = page.next;
        if next.is_none() {
            return Ok(());
        }
        query.after = next;
    }
}

/// The stored resources that are asked for: those of some patients' compartments, or all.
fn stored(
    service: &Service,
    resource_type: &str,
    patients: Option<&std::collections::BTreeSet<Key>>,
    since: Option<i64>,
) -> Result<Filter, Failure> {
    let mut all = Vec::new();
    if let Some(patients) = patients {
        if !everything::compartment_has(service, "Patient", resource_type) {
            let details = format!("A {resource_type} is of no patient; leave patient and group out.");
            return Err(refuse(IssueType::NotSupported, details, "ViewDefinition.resource".to_owned()));
        }
        let of_patient = |key: &Key| everything::in_compartment(service, key, resource_type);
        let any = patients.iter().map(of_patient).collect::<Result<Vec<Filter>, Failure>>()?;
        all.push(if any.is_empty() { Filter::None } else { Filter::Or(any) });
    }
    all.extend(since.map(|time| Filter::LastUpdated(Comparison::GreaterOrEqual, time, time)));
    Ok(if all.is_empty() { Filter::All } else { Filter::And(all) })
}

/// A table under way.
struct Table<'r> {
    view: &'r View,
    writer: Writer<'r>,
    out: Vec<u8>,
    limit: Option<u64>,
    now: Option<DateTime>,
}

impl<'r> Table<'r> {
    fn new(service: &Service, request: &'r Request) -> Result<Table<'r>, Failure> {
        let writer = Writer::new(request.view.columns(), request.format).map_err(wrong)?;
        let now = DateTime::parse(&(service.clock)().to_string());
        Ok(Table { view: &request.view, writer, out: Vec::new(), limit: request.limit, now })
    }

    /// Adds the rows of a resource. Whether there may be more.
    fn add(&mut self, resource: &Tree) -> Result<bool, Failure> {
        let environment = Environment { now: self.now, ..Environment::default() };
        for row in self.view.rows(resource, &environment).map_err(wrong)? {
            if self.limit.is_some_and(|limit| self.writer.rows() >= limit) {
                return Ok(false);
            }
            self.writer.row(&row).map_err(wrong)?;
        }
        self.out.append(&mut self.writer.take());
        if self.out.len().max(self.writer.held()) > MAX_BYTES {
            let details = format!(
                "The table has more than {} MiB. Narrow it: fewer columns, a where, patient, group, _since or _limit.",
                MAX_BYTES >> 20
            );
            return Err(Failure::new(Status::BadRequest, IssueType::TooCostly, details));
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<Vec<u8>, Failure> {
        self.out.append(&mut self.writer.finish().map_err(wrong)?);
        Ok(self.out)
    }
}

/// What is wrong with a view, or with what it finds in a resource.
fn wrong(issue: fhirpath::Issue) -> Failure {
    Failure::of(Status::Unprocessable, vec![issue])
}
