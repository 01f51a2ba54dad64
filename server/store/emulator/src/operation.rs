//! What a request asks for, as far as faults tell requests apart.

use hyper::Method;
use hyper::header::HeaderMap;
use serde::{Deserialize, Serialize};

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A document by its id.
    Read,
    /// A new document.
    Create,
    /// A document, new or in place of another.
    Upsert,
    /// A document in place of another.
    Replace,
    /// A document's deletion.
    Delete,
    /// Several operations in one logical partition.
    Batch,
    /// A query, or a page of all documents or changes.
    Query,
    /// All about accounts, databases, containers, partitions and the plans of queries.
    Metadata,
}

impl Operation {
    /// All that touch documents.
    pub const DOCUMENTS: [Operation; 7] = [
        Operation::Read,
        Operation::Create,
        Operation::Upsert,
        Operation::Replace,
        Operation::Delete,
        Operation::Batch,
        Operation::Query,
    ];

    /// All that change documents.
    pub const WRITES: [Operation; 5] =
        [Operation::Create, Operation::Upsert, Operation::Replace, Operation::Delete, Operation::Batch];

    pub(crate) fn of(method: &Method, path: &str, headers: &HeaderMap) -> Operation {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let set = |name: &str| {
            headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
        };
        match (method, segments.as_slice()) {
            (&Method::POST, ["dbs", _, "colls", _, "docs"]) => {
                if set("x-ms-cosmos-is-query-plan-request") {
                    Operation::Metadata
                } else if set("x-ms-documentdb-isquery") || set("x-ms-documentdb-query") {
                    Operation::Query
                } else if set("x-ms-cosmos-is-batch-request") {
                    Operation::Batch
                } else if set("x-ms-documentdb-is-upsert") {
                    Operation::Upsert
                } else {
                    Operation::Create
                }
            }
            (&Method::GET, ["dbs", _, "colls", _, "docs"]) => Operation::Query,
            (&Method::GET, ["dbs", _, "colls", _, "docs", _]) => Operation::Read,
            (&Method::PUT | &Method::PATCH, ["dbs", _, "colls", _, "docs", _]) => Operation::Replace,
            (&Method::DELETE, ["dbs", _, "colls", _, "docs", _]) => Operation::Delete,
            _ => Operation::Metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let check = |method: Method, path: &str, header: Option<&'static str>, operation: Operation| {
            let mut headers = HeaderMap::new();
            if let Some(name) = header {
                headers.insert(name, hyper::header::HeaderValue::from_static("True"));
            }
            assert_eq!(Operation::of(&method, path, &headers), operation, "{method} {path} {header:?}");
        };
        let (docs, doc) = ("/dbs/d/colls/c/docs", "/dbs/d/colls/c/docs/x");
        check(Method::GET, "/", None, Operation::Metadata);
        check(Method::POST, "/dbs/d/colls", None, Operation::Metadata);
        check(Method::GET, "/dbs/d/colls/c/pkranges", None, Operation::Metadata);
        check(Method::POST, docs, None, Operation::Create);
        check(Method::POST, docs, Some("x-ms-documentdb-is-upsert"), Operation::Upsert);
        check(Method::POST, docs, Some("x-ms-documentdb-isquery"), Operation::Query);
        check(Method::POST, docs, Some("x-ms-cosmos-is-query-plan-request"), Operation::Metadata);
        check(Method::POST, docs, Some("x-ms-cosmos-is-batch-request"), Operation::Batch);
        check(Method::GET, docs, None, Operation::Query);
        check(Method::GET, doc, None, Operation::Read);
        check(Method::PUT, doc, None, Operation::Replace);
        check(Method::DELETE, doc, None, Operation::Delete);
    }
}
