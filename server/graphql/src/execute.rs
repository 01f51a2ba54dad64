//! Runs a plan over what was read so far. What is missing is noted and left out; the caller reads it and runs the plan
//! again, so that each round reads all it can at once, and a run itself never waits.

use std::sync::Arc;

use fhirpath::expression::{Environment, Item, referred, type_of_url};
use fhirpath::primitive::JsonType;
use fhirpath::schema::{PropertyId, TypeId};
use fhirpath::{Element, Expression, Issue, IssueType, Schema};
use serde_json::Value;

use crate::bind::graphql_name;
use crate::document::Place;
use crate::limits::{MAX_OUTPUT, MAX_VALUES};
use crate::load::{Loaded, Needs};
use crate::output::{Cardinality, Entry, Output};
use crate::plan::{Field, Filter, Finding, PageField, Plan, Properties, Slice, What};
use crate::resources::{Match, Page, Search};
use crate::response::{PathPart, Refusal};

type Result<T, E = Refusal> = std::result::Result<T, E>;

/// What a field is taken from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Root,
    Element(Element<'a>),
    Page(&'a Page),
    Edge(&'a Match),
}

/// One of what a field takes.
enum Taken<'a, 'p> {
    Value(Value, Option<Element<'a>>),
    Fields(Source<'a>, &'p Plan),
}

/// Where a field's values go.
struct Target<'o> {
    out: &'o mut Output,
    /// Whether a field above that is a list was flattened.
    is_list: bool,
    is_flattened: bool,
    /// What slices above add to names.
    suffix: String,
}

/// One run of a plan.
pub(crate) struct Run<'a> {
    schema: &'a Arc<Schema>,
    loaded: &'a Loaded,
    environment: Environment<'a>,
    needs: Needs,
    /// Of FHIRPath, all expressions together.
    steps: u64,
    values: usize,
    bytes: usize,
    path: Vec<PathPart>,
}

impl<'a> Run<'a> {
    pub fn new(schema: &'a Arc<Schema>, loaded: &'a Loaded, environment: Environment<'a>) -> Run<'a> {
        let (needs, path) = Default::default();
        Run { schema, loaded, environment, needs, steps: 0, values: 0, bytes: 0, path }
    }

    /// The answer as far as it can be told, and what it lacks.
    pub fn run(mut self, plan: &Plan, source: Source<'a>) -> Result<(Value, Needs)> {
        match self.object(plan, source) {
            Ok(value) => Ok((value, self.needs)),
            Err(refusal) => Err(refusal.path(&self.path)),
        }
    }

    fn object(&mut self, plan: &Plan, source: Source<'a>) -> Result<Value> {
        let mut out = Output::default();
        let mut target = Target { out: &mut out, is_list: false, is_flattened: false, suffix: String::new() };
        self.selection(plan, source, &mut target)?;
        Ok(out.into_value())
    }

    fn selection(&mut self, plan: &Plan, source: Source<'a>, target: &mut Target<'_>) -> Result<()> {
        for field in &plan.fields {
            if let (Some(owners), Source::Element(element)) = (&field.owners, source)
                && !owners.contains(&element.type_id())
            {
                continue;
            }
            self.path.push(PathPart::Key(field.key.clone()));
            self.field(field, source, target)?;
            self.path.pop();
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, source: Source<'a>, target: &mut Target<'_>) -> Result<()> {
        let mut is_list = false;
        let mut taken = Vec::new();
        match (&field.what, source) {
            (What::TypeName(Some(name)), _) => taken.push(text(name)),
            (What::TypeName(None), Source::Element(element)) => {
                taken.push(text(&graphql_name(element.type_name())));
            }
            (What::ResourceType, Source::Element(element)) => taken.push(text(element.type_name())),
            (What::Values(properties), Source::Element(element)) => {
                is_list = self.values(properties, element, &mut taken);
            }
            (What::Extras(properties, plan), Source::Element(element)) => {
                is_list = self.extras(properties, plan, element, &mut taken);
            }
            (What::Elements(properties, filter, plan), Source::Element(element)) => {
                is_list = self.elements(properties, filter, plan, element, field.place, &mut taken)?;
            }
            (What::Target { optional, wanted, plan }, Source::Element(element)) => {
                let found = self.target(*optional, *wanted, element, field.place)?;
                taken.extend(found.map(|found| Taken::Fields(Source::Element(found), plan)));
            }
            (What::Read { reference, plan }, _) => {
                let found = self.read(reference, false, field.place)?;
                taken.extend(found.map(|found| Taken::Fields(Source::Element(found), plan)));
            }
            (What::List(finding, plan), source) => {
                is_list = true;
                let Some(page) = self.page(finding, source, field.place)? else { return Ok(()) };
                for found in self.matches(finding, page, field.place)? {
                    taken.push(Taken::Fields(Source::Element(found.resource.root()), plan));
                }
            }
            (What::Connection(finding, plan), source) => {
                let Some(page) = self.page(finding, source, field.place)? else { return Ok(()) };
                return self.connection(field, finding, plan, page, target);
            }
            (What::Page(which), Source::Page(page)) => taken.extend(page_field(*which, page)),
            (What::Mode, Source::Edge(found)) => taken.extend(found.mode.map(text)),
            (What::Score, Source::Edge(found)) => {
                let score = found.score.and_then(serde_json::Number::from_f64);
                taken.extend(score.map(|score| Taken::Value(Value::Number(score), None)));
            }
            (What::Found(plan), Source::Edge(found)) => {
                taken.push(Taken::Fields(Source::Element(found.resource.root()), plan));
            }
            (What::Change { number, plan, .. }, _) => {
                let left = self.loaded.changes.get(*number).and_then(Option::as_ref);
                taken.push(match left {
                    Some(tree) => Taken::Fields(Source::Element(tree.root()), plan),
                    None => Taken::Value(Value::Null, None),
                });
            }
            _ => return Err(Refusal::new(IssueType::Exception, "A field stands where it cannot be.")),
        }
        self.write(field, taken, is_list, target)
    }

    /// Lays out what a field took.
    fn write(
        &mut self,
        field: &Field,
        mut taken: Vec<Taken<'a, '_>>,
        is_list: bool,
        target: &mut Target<'_>,
    ) -> Result<()> {
        if field.shape.first {
            taken.truncate(1);
        }
        for (number, taken) in taken.into_iter().enumerate() {
            if is_list {
                self.path.push(PathPart::Index(number));
            }
            let element = match &taken {
                Taken::Value(_, element) => *element,
                Taken::Fields(Source::Element(element), _) => Some(*element),
                Taken::Fields(Source::Edge(found), _) => Some(found.resource.root()),
                Taken::Fields(..) => None,
            };
            let suffix = target.suffix.clone() + &self.suffix(field, element, number)?;
            let is_in_list = target.is_list || is_list && !(field.shape.first && field.shape.flatten);
            match taken {
                Taken::Fields(source, plan) if field.shape.flatten => {
                    let mut inner =
                        Target { out: target.out, is_list: is_in_list, is_flattened: true, suffix };
                    self.selection(plan, source, &mut inner)?;
                }
                taken => {
                    let value = match taken {
                        Taken::Value(value, _) => value,
                        Taken::Fields(source, plan) => self.object(plan, source)?,
                    };
                    let key = format!("{}{suffix}", field.key);
                    self.count(&key, &value, field.place)?;
                    let cardinality = match (field.shape.singleton, is_in_list) {
                        (true, _) => Cardinality::Singleton,
                        (false, true) => Cardinality::List,
                        (false, false) => Cardinality::One,
                    };
                    target.out.add(Entry {
                        key,
                        value,
                        cardinality,
                        type_id: element.map(Element::type_id),
                        place: field.place,
                        is_flattened: target.is_flattened,
                    })?;
                }
            }
            if is_list {
                self.path.pop();
            }
        }
        Ok(())
    }

    /// What `@slice` adds to the name.
    fn suffix(&mut self, field: &Field, element: Option<Element<'a>>, number: usize) -> Result<String> {
        Ok(match (&field.shape.slice, element) {
            (None, _) | (Some(Slice::Path(_)), None) => String::new(),
            (Some(Slice::Index), _) => format!(".{number}"),
            (Some(Slice::Path(path)), Some(element)) => {
                let found = self.evaluate(path, element, field.place)?;
                let texts: Vec<String> = found.iter().map(|item| item.pair().1).collect();
                if texts.is_empty() { String::new() } else { format!(".{}", texts.join(",")) }
            }
        })
    }

    fn count(&mut self, key: &str, value: &Value, place: Place) -> Result<()> {
        self.values += 1;
        self.bytes += key.len() + 4;
        match value {
            Value::String(text) => self.bytes += text.len() + 2,
            Value::Number(number) => self.bytes += number.as_str().len(),
            _ => self.bytes += 4,
        }
        let refuse = |details: String| Err(Refusal::new(IssueType::TooCostly, details).at(place));
        if self.values > MAX_VALUES {
            return refuse(format!("The answer has more than {MAX_VALUES} values."));
        }
        if self.bytes > MAX_OUTPUT {
            return refuse(format!("The answer has more than {MAX_OUTPUT} bytes."));
        }
        Ok(())
    }

    fn evaluate(
        &mut self,
        expression: &Expression,
        element: Element<'a>,
        place: Place,
    ) -> Result<Vec<Item<'a>>> {
        let mut found = Vec::new();
        let done = expression.evaluate_after(element, &self.environment, &mut self.steps, &mut found);
        done.map_err(|error| Refusal::from(Issue::from(error)).at(place))?;
        Ok(found)
    }

    /// Whether an expression is true of an element; one item that is no Boolean counts as true.
    fn passes(&mut self, expression: &Expression, element: Element<'a>, place: Place) -> Result<bool> {
        let found = self.evaluate(expression, element, place)?;
        Ok(match found.as_slice() {
            [] => false,
            [Item::Boolean(value)] => *value,
            [Item::Element(element)] if element.type_name() == "boolean" => {
                element.value().is_some_and(|value| value == "true")
            }
            [_] => true,
            _ => {
                let details = "The argument fhirpath yields several items; it is to be true or false.";
                return Err(Refusal::new(IssueType::Processing, details).at(place));
            }
        })
    }

    fn property(&self, properties: &Properties, element: Element<'a>) -> Option<(PropertyId, bool)> {
        let type_id = element.type_id();
        let (_, id) = properties.iter().find(|(owner, _)| *owner == type_id)?;
        Some((*id, self.schema.definition(*id).is_list))
    }

    fn values(&self, properties: &Properties, element: Element<'a>, taken: &mut Vec<Taken<'a, '_>>) -> bool {
        let Some((id, is_list)) = self.property(properties, element) else { return false };
        for child in element.children_in(id.only()) {
            match leaf(self.schema, child) {
                // Keeps the places of a list, as JSON does, so that `_name` goes with it.
                Value::Null if !is_list => {}
                value => taken.push(Taken::Value(value, Some(child))),
            }
        }
        is_list
    }

    fn extras<'p>(
        &self,
        properties: &Properties,
        plan: &'p Plan,
        element: Element<'a>,
        taken: &mut Vec<Taken<'a, 'p>>,
    ) -> bool {
        let Some((id, is_list)) = self.property(properties, element) else { return false };
        let children = || element.children_in(id.only());
        if children().any(|child| child.children().next().is_some()) {
            taken.extend(children().map(|child| match child.children().next() {
                Some(_) => Taken::Fields(Source::Element(child), plan),
                None => Taken::Value(Value::Null, Some(child)),
            }));
        }
        is_list
    }

    fn elements<'p>(
        &mut self,
        properties: &Properties,
        filter: &Filter,
        plan: &'p Plan,
        element: Element<'a>,
        place: Place,
        taken: &mut Vec<Taken<'a, 'p>>,
    ) -> Result<bool> {
        let Some((id, is_list)) = self.property(properties, element) else { return Ok(false) };
        let mut passed = 0;
        for child in element.children_in(id.only()) {
            let is_equal = |(name, value): &(String, String)| {
                child.children().any(|inner| {
                    inner.json_name() == name && inner.value().is_some_and(|found| found == *value)
                })
            };
            if !filter.equal.iter().all(is_equal) {
                continue;
            }
            if let Some(expression) = &filter.fhirpath
                && !self.passes(expression, child, place)?
            {
                continue;
            }
            passed += 1;
            if passed > filter.offset && filter.count.is_none_or(|count| taken.len() < count) {
                taken.push(Taken::Fields(Source::Element(child), plan));
            }
        }
        Ok(is_list)
    }

    /// The resource of a Reference.
    fn target(
        &mut self,
        optional: bool,
        wanted: Option<TypeId>,
        element: Element<'a>,
        place: Place,
    ) -> Result<Option<Element<'a>>> {
        let is_wanted = |found: TypeId| wanted.is_none_or(|wanted| found == wanted);
        if let Some(inside) = referred(element) {
            return Ok(Some(inside).filter(|inside| is_wanted(inside.type_id())));
        }
        let Some(url) = element.get("reference").and_then(Element::value) else {
            return if optional { Ok(None) } else { Err(unresolved(place)) };
        };
        if type_of_url(self.schema, &url).is_some_and(|found| !is_wanted(found)) {
            return Ok(None);
        }
        if url.starts_with('#') {
            return if optional { Ok(None) } else { Err(unresolved(place)) };
        }
        let found = self.read(&url, optional, place)?;
        Ok(found.filter(|found| is_wanted(found.type_id())))
    }

    fn read(&mut self, reference: &str, optional: bool, place: Place) -> Result<Option<Element<'a>>> {
        match self.loaded.reads.get(reference) {
            None => {
                self.needs.read(reference);
                Ok(None)
            }
            Some(Some(tree)) => Ok(Some(tree.root())),
            Some(None) if optional => Ok(None),
            Some(None) => Err(unresolved(place)),
        }
    }

    fn page(&mut self, finding: &Finding, source: Source<'a>, place: Place) -> Result<Option<&'a Page>> {
        let mut search = Search {
            resource_type: finding.resource_type.clone(),
            parameters: finding.parameters.clone(),
            cursor: finding.cursor.clone(),
        };
        if let (Some(code), Source::Element(element)) = (&finding.reverse, source) {
            let id = element.get("id").and_then(Element::value).filter(|_| is_standing_alone(element));
            let Some(id) = id else {
                let details = "Nothing can refer to a resource that has no id, or is inside of another.";
                return Err(Refusal::new(IssueType::NotFound, details).at(place));
            };
            search.parameters.push((code.clone(), format!("{}/{id}", element.type_name())));
        }
        let Some(page) = self.loaded.searches.get(&search) else {
            self.needs.search(search);
            return Ok(None);
        };
        if finding.is_whole && page.next.is_some() {
            let details = format!(
                "More {} match than a list holds; name fewer, a _count, or use {}Connection.",
                finding.resource_type, finding.resource_type
            );
            return Err(Refusal::new(IssueType::TooCostly, details).at(place));
        }
        Ok(Some(page))
    }

    /// The matches that the argument `fhirpath` lets through.
    fn matches(&mut self, finding: &Finding, page: &'a Page, place: Place) -> Result<Vec<&'a Match>> {
        let mut found = Vec::with_capacity(page.matches.len());
        for one in &page.matches {
            let passes = match &finding.fhirpath {
                Some(expression) => self.passes(expression, one.resource.root(), place)?,
                None => true,
            };
            if passes {
                found.push(one);
            }
        }
        Ok(found)
    }

    fn connection(
        &mut self,
        field: &Field,
        finding: &Finding,
        plan: &Plan,
        page: &'a Page,
        target: &mut Target<'_>,
    ) -> Result<()> {
        let kept = self.matches(finding, page, field.place)?;
        if field.shape.flatten {
            return self.connection_fields(plan, page, &kept, target);
        }
        let mut out = Output::default();
        let mut inner = Target { out: &mut out, is_list: false, is_flattened: false, suffix: String::new() };
        self.connection_fields(plan, page, &kept, &mut inner)?;
        self.write(field, vec![Taken::Value(out.into_value(), None)], false, target)
    }

    fn connection_fields(
        &mut self,
        plan: &Plan,
        page: &'a Page,
        kept: &[&'a Match],
        target: &mut Target<'_>,
    ) -> Result<()> {
        for part in &plan.fields {
            self.path.push(PathPart::Key(part.key.clone()));
            match &part.what {
                What::Edges(plan) => {
                    let edges = kept.iter().map(|found| Taken::Fields(Source::Edge(found), plan));
                    self.write(part, edges.collect(), true, target)?;
                }
                _ => self.field(part, Source::Page(page), target)?,
            }
            self.path.pop();
        }
        Ok(())
    }
}

fn text<'a, 'p>(text: &str) -> Taken<'a, 'p> {
    Taken::Value(Value::String(text.to_owned()), None)
}

fn page_field<'a, 'p>(which: PageField, page: &Page) -> Option<Taken<'a, 'p>> {
    let number = |number: u64| Taken::Value(Value::Number(number.into()), None);
    match which {
        PageField::Count => page.total.map(number),
        PageField::Offset => page.offset.map(number),
        PageField::PageSize => Some(number(page.page_size)),
        PageField::First => page.first.as_deref().map(text),
        PageField::Previous => page.previous.as_deref().map(text),
        PageField::Next => page.next.as_deref().map(text),
        PageField::Last => page.last.as_deref().map(text),
    }
}

/// The value of a primitive as JSON; null without one.
fn leaf(schema: &Schema, element: Element<'_>) -> Value {
    let (Some(value), Some(primitive)) = (element.value(), schema.primitive(element.type_id())) else {
        return Value::Null;
    };
    match primitive.json_type() {
        JsonType::Boolean => Value::Bool(value == "true"),
        JsonType::Number => serde_json::from_str(&value).map_or(Value::Null, Value::Number),
        JsonType::String => Value::String(value.into_owned()),
    }
}

fn unresolved(place: Place) -> Refusal {
    let details = "The resource is not there, or may not be seen.";
    Refusal::new(IssueType::NotFound, details).at(place)
}

/// Whether a resource is one of its own, not one inside of another.
fn is_standing_alone(element: Element<'_>) -> bool {
    element.property_id().is_none()
}
