#![allow(missing_docs, clippy::unwrap_used)] // a benchmark
//! Search-parameter evaluations per second over parsed resources (every tenth of the Synthea NDJSON set), and
//! compiling all of R4's expressions. `cargo bench -p fhirpath --bench expression`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use divan::Bencher;
use divan::counter::ItemsCount;
use fhirpath::schema::TypeDefinition;
use fhirpath::{Expression, Limits, Schema, Tree};
use serde::Deserialize;

fn main() {
    divan::main();
}

#[derive(Deserialize)]
struct Line {
    r#type: Option<TypeDefinition>,
    #[serde(rename = "searchParameter")]
    search_parameter: Option<SearchParameter>,
}

#[derive(Deserialize)]
struct SearchParameter {
    #[serde(default)]
    base: Vec<String>,
    expression: Option<String>,
}

struct Definitions {
    schema: Arc<Schema>,
    /// Type and text.
    expressions: Vec<(String, String)>,
}

fn definitions() -> &'static Definitions {
    static DEFINITIONS: OnceLock<Definitions> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let lines = include_str!("../../ig/r4-4.0.1.jsonl").lines();
        let (mut types, mut expressions) = (Vec::new(), Vec::new());
        for line in lines.map(|line| serde_json::from_str::<Line>(line).unwrap()) {
            types.extend(line.r#type);
            let Some(parameter) = line.search_parameter else { continue };
            if let Some(text) = parameter.expression {
                expressions.extend(parameter.base.into_iter().map(|base| (base, text.clone())));
            }
        }
        Definitions { schema: Arc::new(Schema::build(&types).unwrap()), expressions }
    })
}

/// By resource type.
fn compiled() -> BTreeMap<String, Vec<Expression>> {
    let definitions = definitions();
    let mut out: BTreeMap<String, Vec<Expression>> = BTreeMap::new();
    for (base, text) in &definitions.expressions {
        let expression = Expression::compile(&definitions.schema, base, text).unwrap();
        out.entry(base.clone()).or_default().push(expression);
    }
    out
}

fn trees() -> Vec<Tree> {
    let schema = &definitions().schema;
    let mut trees = Vec::new();
    testdata::each("benches/expression", "synthea-bulk-ndjson.tar.gz", |file| {
        let lines = file.bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        if file.path.ends_with(".ndjson") {
            let parse = |line: &[u8]| Tree::parse_json(schema, line.to_vec(), &Limits::DEFAULT).unwrap();
            trees.extend(lines.step_by(10).map(parse));
        }
    });
    trees
}

/// Every parameter of each resource's own type.
#[divan::bench(sample_count = 20)]
fn evaluate_search_parameters(bencher: Bencher) {
    let (compiled, trees) = (compiled(), trees());
    let of = |tree: &Tree| compiled.get(tree.resource_type()).map_or(&[][..], Vec::as_slice);
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(trees.iter().map(|tree| of(tree).len()).sum::<usize>())).bench_local(
        || {
            for tree in &trees {
                for expression in of(tree) {
                    out.clear();
                    expression.evaluate(tree.root(), &mut out).unwrap();
                    divan::black_box(&out);
                }
            }
        },
    );
}

#[divan::bench(sample_count = 20)]
fn compile_search_parameters(bencher: Bencher) {
    bencher.counter(ItemsCount::new(definitions().expressions.len())).bench_local(compiled);
}
