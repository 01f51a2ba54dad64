//! An element against a node of a profile: what the profile asks beyond FHIR's own rules.

use std::sync::Arc;

use fhirpath::expression::{Dialect, Environment, Expression};
use fhirpath::primitive::{Primitive, decimal, span};
use fhirpath::{Element, IssueType, Severity};

use super::profile::{AllowedType, Bound, Node, Profile};
use super::structure::MANY;
use super::walk::Walk;

impl<'w> Walk<'w> {
    /// An element against the node of a number.
    pub fn node(&mut self, element: Element<'w>, profile: &Arc<Profile>, at: usize) {
        if !self.step() {
            return;
        }
        let Some(node) = profile.nodes.get(at) else { return };
        self.value(element, profile, node);
        if at > 0 && element.is_resource() && !node.invariants.is_empty() {
            // A rule about a resource inside is the outer one's.
            self.environment.resource = element.enclosing_resource();
        }
        for invariant in &node.invariants {
            self.invariant(element, invariant);
        }
        self.environment.resource = None;
        if let Some(binding) = &node.binding {
            self.bound(element, binding);
        }
        for &child in &node.children {
            self.children(element, profile, child);
        }
        if self.options.must_support {
            for &child in node.children.iter().chain(&node.supported) {
                self.supported(element, profile, child);
            }
        }
    }

    /// The children of an element that a node is about.
    fn children(&mut self, element: Element<'w>, profile: &Arc<Profile>, at: usize) {
        let Some(node) = profile.nodes.get(at) else { return };
        let children = node.step.children(element);
        if node.min > 0 || node.max != MANY {
            let count = u32::try_from(children.clone().count()).unwrap_or(u32::MAX);
            self.count(element, profile, node, count);
        }
        for child in children.clone() {
            self.typed(child, profile, node);
            self.node(child, profile, at);
        }
        if let Some(slicing) = &node.slicing {
            let group = children.collect::<smallvec::SmallVec<[Element<'w>; 8]>>();
            self.slices(element, profile, slicing, &group, &node.id);
        }
    }

    /// Whether there are as many as a node asks for.
    #[inline]
    pub fn count(&mut self, element: Element<'w>, profile: &Profile, node: &Node, count: u32) {
        if count < node.min {
            self.error(IssueType::Required, element, "Validation_VAL_Profile_Minimum_other", || {
                format!(
                    "{}: at least {} required by {}, and there {}.",
                    node.id,
                    node.min,
                    profile.url,
                    match count {
                        0 => "is none".to_owned(),
                        1 => "is 1".to_owned(),
                        many => format!("are {many}"),
                    }
                )
            });
        } else if count > node.max {
            self.error(IssueType::Structure, element, "Validation_VAL_Profile_Maximum_other", || {
                let allowed =
                    if node.max == 0 { "is not allowed".to_owned() } else { format!("at most {}", node.max) };
                format!(
                    "{}: {allowed} by {}, and there {} {count}.",
                    node.id,
                    profile.url,
                    if count == 1 { "is" } else { "are" }
                )
            });
        }
    }

    fn supported(&mut self, element: Element<'w>, profile: &Arc<Profile>, at: usize) {
        let Some(node) = profile.nodes.get(at) else { return };
        if node.must_support && node.step.children(element).next().is_none() {
            self.tell(Severity::Information, IssueType::Informational, element, "", || {
                format!("{} must be supported by {}, and is not there.", node.id, profile.url)
            });
        }
        for child in node.step.children(element) {
            for &below in &node.supported {
                self.supported(child, profile, below);
            }
        }
    }

    /// Whether an element is of a type that a node allows, and meets that type's profiles.
    pub fn typed(&mut self, element: Element<'w>, profile: &Arc<Profile>, node: &Node) {
        if node.types.is_empty() {
            return;
        }
        let schema = &self.v.shared.schema;
        let id = element.type_id();
        let is = |allowed: &&AllowedType| {
            allowed.type_id == id || (element.is_resource() && schema.is_subtype(id, allowed.type_id))
        };
        let Some(allowed) = node.types.iter().find(is) else {
            let names: Vec<&str> = node.types.iter().map(|it| schema.type_name(it.type_id)).collect();
            self.error(IssueType::Structure, element, "Validation_VAL_Profile_WrongType", || {
                format!(
                    "{} is {}; {} allows only {}.",
                    node.id,
                    element.type_name(),
                    profile.url,
                    names.join(", ")
                )
            });
            return;
        };
        let is_extension = element.type_name() == "Extension";
        if !allowed.profiles.is_empty() && !is_extension {
            self.one_of(element, profile, node, &allowed.profiles);
        }
        if !allowed.aggregation.is_empty() {
            self.aggregated(element, profile, node, &allowed.aggregation);
        }
        if !allowed.targets.is_empty() {
            self.target(element, profile, node, &allowed.targets);
        }
    }

    /// Whether an element meets one of several profiles.
    fn one_of(
        &mut self,
        element: Element<'w>,
        profile: &Profile,
        node: &Node,
        references: &[super::profile::ProfileReference],
    ) {
        let mut found = smallvec::SmallVec::<[Arc<Profile>; 4]>::new();
        for reference in references {
            match self.referred(element, reference) {
                Some(profile) => found.push(profile),
                // One that is not known may be the one that is met.
                None => return,
            }
        }
        if let [one] = found.as_slice() {
            return self.profile(element, one);
        }
        if !found.iter().any(|one| self.meets(element, one)) {
            self.error(IssueType::Structure, element, "Validation_VAL_Profile_NoMatch", || {
                let urls: Vec<&str> = found.iter().map(|it| it.url.as_ref()).collect();
                format!(
                    "{} must meet one of {} for {}, and meets none.",
                    node.id,
                    urls.join(", "),
                    profile.url
                )
            });
        }
    }

    /// The value itself: fixed, patterned, bounded.
    fn value(&mut self, element: Element<'w>, profile: &Profile, node: &Node) {
        if let Some(fixed) = &node.fixed
            && !fixed.is(element)
        {
            self.error(IssueType::Value, element, "_DT_Fixed_Wrong", || {
                format!("{} must be {} for {}.", node.id, node.wanted, profile.url)
            });
        }
        if let Some(pattern) = &node.pattern
            && !pattern.is_in(element)
        {
            self.error(IssueType::Value, element, "PATTERN_CHECK_STRING", || {
                format!("{} must have {} for {}.", node.id, node.wanted, profile.url)
            });
        }
        if let Some(most) = node.max_length
            && let Some(text) = element.value()
            && text.chars().count() > most as usize
        {
            self.error(IssueType::TooLong, element, "Type_Specific_Checks_DT_Primitive_Length", || {
                format!("{} has {} characters; {} allows {most}.", node.id, text.chars().count(), profile.url)
            });
        }
        if let Some(least) = &node.min_value
            && is_beyond(element, least, true)
        {
            self.error(IssueType::Value, element, "", || {
                format!("{} must be {} or more for {}.", node.id, least.value, profile.url)
            });
        }
        if let Some(most) = &node.max_value
            && is_beyond(element, most, false)
        {
            self.error(IssueType::Value, element, "", || {
                format!("{} must be {} or less for {}.", node.id, most.value, profile.url)
            });
        }
    }
}

/// Lowest and highest of what a value stands for: a number, or a span of time; and its unit.
type Range<'t> = (f64, f64, Option<std::borrow::Cow<'t, str>>);

fn range_of<'t>(element: Element<'t>) -> Option<Range<'t>> {
    match element.tree().schema().primitive(element.type_id()) {
        Some(Primitive::Date | Primitive::DateTime | Primitive::Instant) => time_range(&element.value()?),
        Some(_) => decimal(&element.value()?).map(|it| (it.value, it.value, None)),
        None => {
            let number = decimal(&element.get("value")?.value()?)?;
            let unit = element.get("code").or_else(|| element.get("unit")).and_then(Element::value);
            Some((number.value, number.value, unit))
        }
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds of some thousand years fit
fn time_range<'t>(text: &str) -> Option<Range<'t>> {
    span(text).map(|(from, to)| (from as f64, to as f64, None))
}

/// Whether an element is below (or above) a bound; of another unit, or of no order, it is not.
fn is_beyond(element: Element<'_>, bound: &Bound, below: bool) -> bool {
    let Some((low, high, unit)) = range_of(element) else { return false };
    let limit = match element.tree().schema().primitive(element.type_id()) {
        Some(Primitive::Date | Primitive::DateTime | Primitive::Instant) => time_range(&bound.value),
        _ => decimal(&bound.value).map(|it| (it.value, it.value, None)),
    };
    let Some((least, most, _)) = limit else { return false };
    if let (Some(wanted), true) = (&bound.unit, unit.as_deref() != bound.unit.as_deref()) {
        return is_beyond_unit(element, bound, wanted, below);
    }
    if below { high < least } else { low > most }
}

/// The same for quantities of different units, as FHIRPath converts them.
fn is_beyond_unit(element: Element<'_>, bound: &Bound, unit: &str, below: bool) -> bool {
    let operator = if below { '<' } else { '>' };
    let text = format!("$this {operator} {} '{}'", bound.value, unit.replace(['\\', '\''], ""));
    let schema = element.tree().schema();
    let program = Expression::compile_as(schema, element.type_name(), &text, Dialect::Standard);
    program.is_ok_and(|program| program.test(element, &Environment::default()) == Ok(Some(true)))
}
