//! JSON Patch (<https://www.rfc-editor.org/rfc/rfc6902>) over the canonical JSON of a resource. The crate `json_patch` does the
//! changes; the reading, numbers in `test`, and bounds on what a patch may make of a document are here.

use json_patch::{PatchErrorKind, PatchOperation, jsonptr::Pointer, patch_unsafe};
use serde_json::Value;

use crate::expression::Decimal;
use crate::issue::{Issue, IssueType};
use crate::primitive::Primitive;
use crate::schema::{Schema, TypeId};
use crate::tree::{Limits, Tree, excerpt};

/// Most values that the operations of one patch may touch: those they move, and the items behind one that comes or goes.
const MAX_TOUCHED: usize = 20_000_000;
/// Deepest nesting that a patch may make. What is nested deeper than [`Limits::depth`] is refused anyway when it is parsed.
const MAX_DEPTH: usize = 120;

/// A JSON Patch.
#[derive(Debug)]
pub struct JsonPatch {
    operations: Vec<PatchOperation>,
}

impl JsonPatch {
    /// Reads the operations.
    ///
    /// # Errors
    /// A text that is no JSON or no list of operations, or what is wrong with each operation, which it names.
    pub fn parse(text: &[u8]) -> Result<JsonPatch, Vec<Issue>> {
        let items = match serde_json::from_slice(text) {
            Ok(Value::Array(items)) => items,
            Ok(_) => {
                let details = "A JSON Patch is an array of operations.";
                return Err(vec![Issue::error(IssueType::Structure, details)]);
            }
            Err(error) => return Err(vec![not_json(&error)]),
        };
        super::check_count(items.len())?;
        let check = |(number, item)| refuse(number, item).err();
        let issues: Vec<Issue> =
            items.iter().enumerate().filter_map(check).take(Limits::DEFAULT.issues).collect();
        if !issues.is_empty() {
            return Err(issues);
        }
        // Read from the text: it, and not what was made of it, shows a member that is repeated.
        match serde_json::from_slice(text) {
            Ok(operations) => Ok(JsonPatch { operations }),
            Err(error) => Err(vec![not_json(&error)]),
        }
    }

    /// The resource as it is when all operations are done. Arrays and objects that they leave empty go away.
    ///
    /// # Errors
    /// Why an operation cannot be done, naming it; or what is wrong with the resource that comes out.
    pub fn apply(&self, resource: &Tree, limits: &Limits) -> Result<Tree, Vec<Issue>> {
        let mut json = Vec::new();
        resource.write_json(&mut json);
        let document: Value = serde_json::from_slice(&json).map_err(|_| {
            let details = "The resource is nested too deep for a JSON Patch.";
            vec![Issue::error(IssueType::TooCostly, details)]
        })?;
        let schema = resource.schema();
        let mut changed = self
            .change(document, json.len(), limits)
            .map_err(|failed| vec![failed.issue(schema, resource)])?;
        prune(&mut changed, false);
        let text = serde_json::to_vec(&changed).map_err(|_| {
            vec![Issue::error(IssueType::Processing, "The patched resource cannot be written as JSON.")]
        })?;
        let mut patched = Tree::parse_json(schema, text, limits).map_err(|issues| {
            // The client has not seen the text that the positions are of.
            issues.into_iter().map(|issue| Issue { position: None, ..issue }).collect::<Vec<_>>()
        })?;
        if patched.resource_type() != resource.resource_type() {
            let details = "A patch cannot make a resource one of another type.";
            return Err(vec![Issue::error(IssueType::Processing, details).at("resourceType")]);
        }
        restore_exponents(resource, &mut patched);
        Ok(patched)
    }

    /// Any document as it is when all operations are done. `size` is the length of its text, bytes.
    ///
    /// # Errors
    /// Why an operation cannot be done.
    pub fn change(&self, mut document: Value, size: usize, limits: &Limits) -> Result<Value, Failed> {
        let mut work = Work { size, max_size: limits.bytes, touched: 0 };
        for (number, operation) in self.operations.iter().enumerate() {
            let done = work.allow(&document, operation).and_then(|()| match operation {
                PatchOperation::Test(test) => match document.pointer(test.path.as_str()) {
                    None => Err(Why::Patch(PatchErrorKind::InvalidPointer)),
                    Some(found) if same(found, &test.value) => Ok(()),
                    Some(_) => Err(Why::Patch(PatchErrorKind::TestFailed)),
                },
                operation => patch_unsafe(&mut document, std::slice::from_ref(operation))
                    .map_err(|error| Why::Patch(error.kind)),
            });
            done.map_err(|why| Failed {
                number,
                name: name_of(operation),
                path: operation.path().to_string(),
                why,
            })?;
        }
        Ok(document)
    }
}

/// An operation that cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("Operation {number} ({name} {path}) cannot be done: {why}.")]
pub struct Failed {
    /// Its number, from 0.
    pub number: usize,
    name: &'static str,
    path: String,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{}", told(.0))]
    Patch(PatchErrorKind),
    #[error("{0}")]
    TooCostly(&'static str),
}

fn told(kind: &PatchErrorKind) -> &'static str {
    match kind {
        PatchErrorKind::TestFailed => "another value is there",
        PatchErrorKind::InvalidFromPointer => "there is nothing at 'from'",
        PatchErrorKind::InvalidPointer => "there is no such place",
        PatchErrorKind::CannotMoveInsideItself => "a value cannot be moved into itself",
        _ => "the patch fails here",
    }
}

impl Failed {
    fn issue(&self, schema: &Schema, resource: &Tree) -> Issue {
        let code = match &self.why {
            Why::Patch(PatchErrorKind::TestFailed) => IssueType::Conflict,
            Why::Patch(PatchErrorKind::InvalidPointer | PatchErrorKind::InvalidFromPointer) => {
                IssueType::NotFound
            }
            Why::Patch(_) => IssueType::Processing,
            Why::TooCostly(_) => IssueType::TooCostly,
        };
        let details = format!(
            "Operation {} ({} {}) cannot be done: {}.",
            self.number,
            self.name,
            excerpt(&self.path),
            self.why
        );
        Issue::error(code, details).at(place(schema, resource.root().type_id(), &self.path))
    }
}

fn name_of(operation: &PatchOperation) -> &'static str {
    match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    }
}

fn not_json(error: &serde_json::Error) -> Issue {
    // Of an empty text the column is 0.
    let position = |number: usize| u32::try_from(number.max(1)).unwrap_or(u32::MAX);
    let details = match error.classify() {
        serde_json::error::Category::Data => "This is not an operation of JSON Patch.",
        _ => "This is not JSON.",
    };
    Issue::error(IssueType::Invalid, details).line(position(error.line()), position(error.column()))
}

/// Refuses what is no operation (<https://www.rfc-editor.org/rfc/rfc6902#section-4>). Members that it does not know are
/// passed over, as the RFC wants it.
fn refuse(number: usize, item: &Value) -> Result<(), Issue> {
    let fail = |code, what: String| Err(Issue::error(code, format!("Operation {number}: {what}")));
    let Value::Object(members) = item else {
        return fail(IssueType::Structure, "it is not an object.".to_owned());
    };
    let op = members.get("op").and_then(Value::as_str);
    let needs: &[&str] = match op {
        Some("add" | "replace" | "test") => &["path", "value"],
        Some("remove") => &["path"],
        Some("move" | "copy") => &["path", "from"],
        Some(other) => {
            let known = "add, remove, replace, move, copy, test";
            let what = format!("'{}' is no 'op' of JSON Patch; they are {known}.", excerpt(other));
            return fail(IssueType::NotSupported, what);
        }
        None => return fail(IssueType::Required, "it needs an 'op'.".to_owned()),
    };
    for name in needs {
        let Some(member) = members.get(*name) else {
            return fail(IssueType::Required, format!("it needs a member '{name}'."));
        };
        let is_pointer = member.as_str().is_some_and(|text| Pointer::parse(text).is_ok());
        if *name != "value" && !is_pointer {
            let what = format!("'{name}' is not a JSON Pointer, which reads '' or /name/0/family.");
            return fail(IssueType::Value, what);
        }
    }
    Ok(())
}

/// How much the operations may still do.
struct Work {
    /// No less than the length of the document's text.
    size: usize,
    max_size: usize,
    touched: usize,
}

impl Work {
    /// Counts what an operation is going to do, and refuses what is too much.
    fn allow(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), Why> {
        let at = |pointer: &Pointer| document.pointer(pointer.as_str());
        let (moved, grows) = match operation {
            PatchOperation::Add(add) => (Some(&add.value), true),
            PatchOperation::Replace(replace) => (Some(&replace.value), true),
            PatchOperation::Copy(copy) => (at(&copy.from), true),
            PatchOperation::Move(moved) => (at(&moved.from), false),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => (None, false),
        };
        let measure = moved.map_or(Measure::default(), Measure::of);
        self.touched = self.touched.saturating_add(measure.values);
        let from = match operation {
            PatchOperation::Move(moved) => Some(moved.from.as_ref()),
            _ => None,
        };
        for pointer in std::iter::once(operation.path()).chain(from) {
            let holder = pointer.split_back().and_then(|(holder, _)| at(holder));
            self.touched = self.touched.saturating_add(holder.and_then(Value::as_array).map_or(1, Vec::len));
        }
        if grows {
            self.size = self.size.saturating_add(measure.bytes);
        }
        if self.touched > MAX_TOUCHED {
            return Err(Why::TooCostly("the patch has too much to do"));
        }
        if self.size > self.max_size {
            return Err(Why::TooCostly("the resource becomes too large"));
        }
        if measure.values > 0 && operation.path().count() + measure.depth > MAX_DEPTH {
            return Err(Why::TooCostly("the resource becomes nested too deep"));
        }
        Ok(())
    }
}

/// How large a value is.
#[derive(Default)]
struct Measure {
    values: usize,
    /// About the length of its text.
    bytes: usize,
    depth: usize,
}

impl Measure {
    fn of(value: &Value) -> Measure {
        let mut sum = Measure { values: 1, bytes: 4, depth: 0 };
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => sum.bytes = number.as_str().len(),
            Value::String(text) => sum.bytes = text.len() + 2,
            Value::Array(items) => items.iter().for_each(|item| sum.add(&Measure::of(item), 1)),
            Value::Object(members) => {
                members.iter().for_each(|(key, member)| sum.add(&Measure::of(member), key.len() + 4));
            }
        }
        sum
    }

    fn add(&mut self, inside: &Measure, extra: usize) {
        self.values += inside.values;
        self.bytes += inside.bytes + extra;
        self.depth = self.depth.max(inside.depth + 1);
    }
}

/// Equality as `test` has it (<https://www.rfc-editor.org/rfc/rfc6902#section-4.6>): numbers by their value, so that 1.0 is 1.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let decimal = |number: &serde_json::Number| Decimal::parse(number.as_str());
            match (decimal(one), decimal(other)) {
                (Some(one), Some(other)) => one == other,
                _ => one == other,
            }
        }
        (Value::Array(ones), Value::Array(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| same(one, other))
        }
        (Value::Object(ones), Value::Object(others)) => {
            let alike = |(key, one): (&String, &Value)| others.get(key).is_some_and(|other| same(one, other));
            ones.len() == others.len() && ones.iter().all(alike)
        }
        (one, other) => one == other,
    }
}

/// Takes out arrays and objects that are empty, and says whether `value` is empty then. In the array of a `_name` null keeps
/// the place of what went.
fn prune(value: &mut Value, beside_primitives: bool) -> bool {
    match value {
        Value::Array(items) if beside_primitives => {
            for item in items.iter_mut() {
                if prune(item, false) {
                    *item = Value::Null;
                }
            }
            items.iter().all(Value::is_null)
        }
        Value::Array(items) => {
            items.retain_mut(|item| !prune(item, false));
            items.is_empty()
        }
        Value::Object(members) => {
            members.retain(|key, member| !prune(member, key.starts_with('_')));
            members.is_empty()
        }
        _ => false,
    }
}

/// Gives numbers with an exponent the text they had: `serde_json` makes `1e+2` of `1E2`.
fn restore_exponents(before: &Tree, after: &mut Tree) {
    let with_exponent = |tree: &Tree| -> Vec<(u32, String)> {
        let numbers = tree.descendants().filter(|element| {
            let primitive = tree.schema().primitive(element.type_id());
            primitive == Some(Primitive::Decimal)
        });
        let texts = numbers.filter_map(|number| Some((number.node_id(), number.value()?.into_owned())));
        texts.filter(|(_, text)| text.contains(['e', 'E'])).collect()
    };
    let found = with_exponent(after);
    if found.is_empty() {
        return;
    }
    let made = |text: &str| serde_json::from_str(text).map(|number: serde_json::Number| number.to_string());
    let had: Vec<(String, String)> =
        with_exponent(before).into_iter().filter_map(|(_, text)| Some((made(&text).ok()?, text))).collect();
    for (node, text) in found {
        if let Some((_, original)) = had.iter().find(|(made, _)| *made == text) {
            after.set_text(node, original);
        }
    }
}

/// Where a pointer leads, as FHIRPath: `Patient.name[0].family`. It ends where the schema knows no more.
fn place(schema: &Schema, root: TypeId, pointer: &str) -> String {
    let mut place = schema.type_name(root).to_owned();
    let Ok(pointer) = Pointer::parse(pointer) else { return place };
    let mut at = root;
    for token in pointer.tokens() {
        let token = token.decoded();
        if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
            place.push_str(&format!("[{token}]"));
            continue;
        }
        let name = token.strip_prefix('_').unwrap_or(&token);
        let Some(property) = schema.properties(at).iter().find(|property| property.json_name == name) else {
            break;
        };
        place.push('.');
        place.push_str(&property.name);
        at = property.type_id;
    }
    place
}
