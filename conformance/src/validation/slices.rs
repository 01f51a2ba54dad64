//! Which elements are in which slice, and whether a slicing's rules are kept
//! (<https://hl7.org/fhir/R4/profiling.html#slicing>).

use std::sync::Arc;

use fhirpath::{Element, IssueType};
use smallvec::SmallVec;

use super::profile::Profile;
use super::slicing::{Check, Matcher, PathStep, SlicingRules, Test};
use super::walk::Walk;

/// Name of the slice of what is in no other.
const DEFAULT: &str = "@default";

impl<'w> Walk<'w> {
    /// The elements of one group against its slices.
    pub fn slices(
        &mut self,
        parent: Element<'w>,
        profile: &Arc<Profile>,
        slicing: &SlicingRules,
        group: &[Element<'w>],
        id: &str,
    ) {
        let mut assigned: SmallVec<[Option<usize>; 8]> = SmallVec::from_elem(None, group.len());
        let mut is_undecided = false;
        for (number, (at, matcher)) in slicing.slices.iter().enumerate() {
            let Some(node) = profile.nodes.get(*at) else { continue };
            if matcher.is_undecided && !is_default(&node.id) {
                is_undecided = true;
                continue;
            }
            let mut members: SmallVec<[Element<'w>; 8]> = SmallVec::new();
            for (element, slot) in group.iter().zip(assigned.iter_mut()) {
                if !self.step() {
                    return;
                }
                let is_in = if is_default(&node.id) { slot.is_none() } else { self.is_in(*element, matcher) };
                if is_in {
                    members.push(*element);
                    *slot = slot.or(Some(number));
                }
            }
            let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
            self.count(parent, profile, node, count);
            for element in &members {
                self.typed(*element, profile, node);
                self.node(*element, profile, *at);
            }
            if let Some(inner) = &node.slicing {
                self.slices(parent, profile, inner, &members, &node.id);
            }
        }
        if !is_undecided {
            self.kept(profile, slicing, group, &assigned, id);
        }
    }

    /// Whether what is in no slice may be there, and whether the order is kept.
    fn kept(
        &mut self,
        profile: &Profile,
        slicing: &SlicingRules,
        group: &[Element<'w>],
        assigned: &[Option<usize>],
        id: &str,
    ) {
        let last = assigned.iter().rposition(Option::is_some);
        let mut highest = 0;
        for (number, (element, slot)) in group.iter().zip(assigned).enumerate() {
            match slot {
                None if slicing.is_closed => {
                    self.error(IssueType::Structure, *element, "Validation_VAL_Profile_NotSlice", || {
                        format!("This is in no slice of {id}, and {} allows nothing else.", profile.url)
                    });
                }
                None if slicing.is_open_at_end && last.is_some_and(|last| number < last) => {
                    self.error(IssueType::Structure, *element, "Validation_VAL_Profile_SliceOrder", || {
                        format!("This is in no slice of {id}; {} allows that only at the end.", profile.url)
                    });
                }
                Some(slice) if slicing.is_ordered && *slice < highest => {
                    self.error(IssueType::Structure, *element, "Validation_VAL_Profile_OutOfOrder", || {
                        format!(
                            "The slices of {id} have an order in {}, and this comes too late.",
                            profile.url
                        )
                    });
                }
                Some(slice) => highest = highest.max(*slice),
                None => {}
            }
        }
    }

    /// Whether an element has all that elements of a slice have.
    fn is_in(&mut self, element: Element<'w>, matcher: &Matcher) -> bool {
        matcher.tests.iter().all(|test| self.passes(element, test))
    }

    fn passes(&mut self, element: Element<'w>, test: &Test) -> bool {
        match &test.check {
            Check::Exists(wanted) => self.finds(element, &test.path, &Check::Exists(true)) == *wanted,
            check => self.finds(element, &test.path, check),
        }
    }

    /// Whether one of the elements that a path leads to passes.
    fn finds(&mut self, element: Element<'w>, path: &[PathStep], check: &Check) -> bool {
        if !self.step() {
            return false;
        }
        let Some((step, rest)) = path.split_first() else { return self.is(element, check) };
        match step {
            PathStep::Child(name) => element.all(name).any(|child| self.finds(child, rest, check)),
            PathStep::Extension(url) => element
                .all("extension")
                .filter(|it| it.get("url").and_then(Element::value).is_some_and(|it| it == url.as_ref()))
                .any(|child| self.finds(child, rest, check)),
            PathStep::OfType(id) => element.type_id() == *id && self.finds(element, rest, check),
            PathStep::Resolve => match (self.referred_resource(element), check) {
                (Some(target), _) => self.finds(target, rest, check),
                // The type of what is not here stands in the reference.
                (None, Check::Types(types)) if rest.is_empty() => {
                    self.referred_kind(element).is_some_and(|id| types.contains(&id))
                }
                _ => false,
            },
        }
    }

    fn is(&mut self, element: Element<'w>, check: &Check) -> bool {
        match check {
            Check::Fixed(fixed) => fixed.is(element),
            Check::Pattern(pattern) => pattern.is_in(element),
            Check::Exists(_) => true,
            Check::Types(types) => {
                let (id, schema) = (element.type_id(), &self.v.shared.schema);
                types
                    .iter()
                    .any(|&wanted| id == wanted || (element.is_resource() && schema.is_subtype(id, wanted)))
            }
            Check::Bound(binding) => self.trial(|walk| walk.bound(element, binding)),
            Check::Conforms(references) => references.iter().any(|reference| {
                let found = self.v.referred(reference).ok().flatten();
                found.is_some_and(|profile| self.meets(element, &profile))
            }),
        }
    }
}

fn is_default(id: &str) -> bool {
    id.ends_with(DEFAULT)
}
