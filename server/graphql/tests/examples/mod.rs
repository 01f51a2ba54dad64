//! Resources for the tests: some of R4's examples, and pages of a search as the suite's own server answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use conformance::Definitions;
use fhirpath::{Issue, IssueType, Limits, Tree};
use graphql::{Change, Context, Level, Match, Page, Request, Resources, Response, Search};

/// Examples by `Patient/example`.
pub struct Examples {
    pub definitions: Definitions,
    pub all: BTreeMap<String, Arc<Tree>>,
    /// Those that references and searches find.
    pub held: Vec<&'static str>,
    /// How many references each call of `read` was for.
    pub reads: Mutex<Vec<usize>>,
    pub searches: Mutex<Vec<Search>>,
    pub changes: Mutex<Vec<Change>>,
}

impl Examples {
    pub fn open(test: &str, held: &[&'static str]) -> Option<Examples> {
        let definitions = Definitions::embedded().unwrap();
        let mut all = BTreeMap::new();
        testdata::each(test, "r4-examples-json.tar.gz", |file| {
            if ["Patient", "Observation", "Condition", "List", "MedicationDispense"]
                .iter()
                .any(|name| file.path.contains(&format!("/{name}-")))
            {
                let tree = Tree::parse_json(&definitions.schema, file.bytes, &Limits::DEFAULT).unwrap();
                let key = format!("{}/{}", tree.resource_type(), tree.id().unwrap());
                all.insert(key, Arc::new(tree));
            }
        })?;
        let (reads, searches, changes) = Default::default();
        Some(Examples { definitions, all, held: held.to_vec(), reads, searches, changes })
    }

    pub async fn ask(&self, level: &Level, request: &Request) -> Response {
        let definitions = &self.definitions;
        let context =
            Context { schema: &definitions.schema, parameters: &definitions.search_parameters, now: None };
        graphql::execute(context, level, request, self).await
    }

    pub fn instance(&self, key: &str) -> Level {
        Level::Instance(self.all.get(key).unwrap_or_else(|| panic!("no example {key}")).clone())
    }

    fn found(&self, keys: &[&str]) -> Vec<Match> {
        let of = |key: &&str| Match { resource: self.all[*key].clone(), mode: None, score: None };
        keys.iter().map(of).collect()
    }
}

#[async_trait]
impl Resources for Examples {
    async fn read(&self, references: &[String]) -> Result<Vec<Option<Arc<Tree>>>, Issue> {
        self.reads.lock().unwrap().push(references.len());
        let find =
            |key: &String| self.held.contains(&key.as_str()).then(|| self.all.get(key).cloned()).flatten();
        Ok(references.iter().map(find).collect())
    }

    async fn search(&self, searches: &[Search]) -> Result<Vec<Arc<Page>>, Issue> {
        self.searches.lock().unwrap().extend(searches.iter().cloned());
        let page = |search: &Search| match (search.resource_type.as_str(), search.cursor.as_deref()) {
            ("Patient", None | Some("next")) => {
                let mut matches = self.found(&["Patient/example", "Patient/xds"]);
                if let Some(last) = matches.last_mut() {
                    (last.mode, last.score) = (Some("match"), Some(0.5));
                }
                let is_list = search.parameters.iter().any(|(name, _)| name == "_count");
                let next = (!is_list).then(|| "77c97e03-8a6c-415f-a63d-11c80cf73f:50".to_owned());
                Ok(Page { matches, total: Some(50), offset: Some(0), page_size: 50, next, ..Page::default() })
            }
            ("Condition", None) => {
                let matches = self.found(&["Condition/example"]);
                Ok(Page { matches, ..Page::default() })
            }
            ("Observation", None) => {
                let matches = self.found(&["Observation/example"]);
                Ok(Page { matches, next: Some("more".to_owned()), ..Page::default() })
            }
            _ => Err(Issue::error(IssueType::NotFound, "The cursor is not known.")),
        };
        searches.iter().map(|search| page(search).map(Arc::new)).collect()
    }

    async fn change(&self, resource_type: &str, change: Change) -> Result<Option<Arc<Tree>>, Issue> {
        let stored = match &change {
            Change::Delete { .. } => None,
            Change::Create { resource } | Change::Update { resource, .. } => {
                let bytes = resource.to_string().into_bytes();
                let tree = Tree::parse_json(&self.definitions.schema, bytes, &Limits::DEFAULT);
                let tree = tree.map_err(|mut issues| issues.remove(0))?;
                assert_eq!(tree.resource_type(), resource_type);
                Some(Arc::new(tree))
            }
        };
        self.changes.lock().unwrap().push(change);
        Ok(stored)
    }
}
