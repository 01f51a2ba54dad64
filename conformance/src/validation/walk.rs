//! The walk of one resource by FHIR's own rules: each element once, depth first. What profiles ask beyond is
//! [`super::conform`]'s.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;

use fhirpath::expression::{
    Environment, EvaluationError, NarrativeFault, Profiles, Resolver, narrative_fault,
};
use fhirpath::primitive::Primitive;
use fhirpath::schema::Property;
use fhirpath::{Element, Issue, IssueType, Severity};
use rustc_hash::FxHashMap;

use super::invariant::{Invariant, Outcome};
use super::profile::{Profile, ProfileReference};
use super::rules::{Kind, PropertyRules, TypeRules};
use super::{Options, Validator, issue};

/// Most steps of one judgement: an element looked at for a rule, a slice or a profile.
pub const MAX_STEPS: u64 = 5_000_000;
/// Most profiles being checked inside one another: a profile's references lead to resources, and those to others. What lies
/// deeper was or will be checked by itself.
const MAX_NESTED: usize = 24;
/// Deepest nesting of `conformsTo()` inside invariants.
const MAX_CONFORMS: u32 = 4;

/// The walk of one resource.
pub(super) struct Walk<'w> {
    pub v: &'w Validator,
    pub options: &'w Options,
    pub root: Element<'w>,
    pub environment: Environment<'w>,
    pub issues: Vec<Issue>,
    steps: u64,
    /// How many trials are open: questions of which only the answer counts.
    trials: u32,
    /// Whether the trial failed.
    failed: bool,
    /// The elements from the root to where the walk is.
    pub stack: Vec<Element<'w>>,
    /// Profiles being checked, by the element and the profile.
    active: Vec<(u32, usize)>,
    /// Whether elements meet profiles, by the element and the profile.
    verdicts: FxHashMap<(u32, usize), bool>,
    /// The profiles of the verdicts, so that no other comes to stand where one was.
    judged: Vec<Arc<Profile>>,
    /// A text to build keys in.
    pub buffer: String,
    /// Resources of the Bundle that is walked, by their full URLs and by type and id.
    pub bundled: Option<FxHashMap<Cow<'w, str>, Element<'w>>>,
    /// Contained resources by id, for each resource that was asked for.
    pub contained: FxHashMap<u32, FxHashMap<Cow<'w, str>, Element<'w>>>,
    /// What could not be checked and was told already.
    pub told: Vec<Box<str>>,
    /// What a slice's own definition makes unavoidable, by path and details: no warning, whichever definition it is of.
    excused: Vec<(String, Box<str>)>,
}

/// References to other resources are not followed.
struct Nowhere;

impl<'t> Resolver<'t> for Nowhere {
    fn resolve(&self, _: &str, _: Element<'t>) -> Result<Option<Element<'t>>, EvaluationError> {
        Ok(None)
    }
}

/// Answers `conformsTo()`.
struct Conformance<'c> {
    v: &'c Validator,
    options: &'c Options,
    depth: Cell<u32>,
}

impl<'t> Profiles<'t> for Conformance<'_> {
    fn conforms_to(&self, element: Element<'t>, structure: &str) -> Result<Option<bool>, EvaluationError> {
        let profile = self.v.profile(structure).map_err(|error| EvaluationError::new(error.to_string()))?;
        let profile = profile.ok_or_else(|| {
            EvaluationError::not_supported(format!("the profile {structure} is not known here"))
        })?;
        if self.depth.get() >= MAX_CONFORMS {
            return Err(EvaluationError::too_costly("conformsTo() leads to itself"));
        }
        self.depth.set(self.depth.get() + 1);
        let found = Walk::conforms(self.v, element, &profile, self.options, self.depth.get());
        self.depth.set(self.depth.get() - 1);
        Ok(Some(found))
    }

    fn element_definition(&self, _: Element<'t>) -> Result<Option<Element<'t>>, EvaluationError> {
        Err(EvaluationError::not_supported(
            "elementDefinition() is not answered while a resource is validated",
        ))
    }

    fn slice(&self, _: Element<'t>, _: &str, _: &str) -> Result<bool, EvaluationError> {
        Err(EvaluationError::not_supported("slice() is not answered while a resource is validated"))
    }
}

impl<'w> Walk<'w> {
    /// What is wrong with a resource.
    pub fn judge(
        v: &Validator,
        resource: Element<'_>,
        profiles: &[&str],
        options: &Options,
        depth: u32,
    ) -> Vec<Issue> {
        let conformance = Conformance { v, options, depth: Cell::new(depth) };
        let environment = Walk::environment(v, options, &conformance);
        let mut walk = Walk::new(v, options, resource, environment);
        walk.stack.push(resource);
        walk.resource(resource);
        for canonical in profiles {
            walk.asked(resource, canonical, None);
        }
        let (mut issues, excused) = (walk.issues, walk.excused);
        if !excused.is_empty() {
            let is_excused = |issue: &Issue| {
                let at = |path: &str| issue.expression.as_deref() == Some(path);
                excused.iter().any(|(path, details)| at(path) && **details == *issue.details)
            };
            issues.retain(|issue| issue.severity != Severity::Warning || !is_excused(issue));
        }
        issues.dedup();
        issues
    }

    /// Whether an element meets a profile.
    fn conforms(
        v: &Validator,
        element: Element<'_>,
        profile: &Arc<Profile>,
        options: &Options,
        depth: u32,
    ) -> bool {
        let conformance = Conformance { v, options, depth: Cell::new(depth) };
        let environment = Walk::environment(v, options, &conformance);
        let mut walk = Walk::new(v, options, element, environment);
        walk.stack.push(element);
        walk.trial(|walk| walk.profile(element, profile))
    }

    fn environment<'e>(
        v: &'e Validator,
        options: &Options,
        conformance: &'e Conformance<'e>,
    ) -> Environment<'e> {
        Environment {
            now: options.now,
            resolver: Some(&Nowhere),
            terminology: Some(&v.terminology),
            profiles: Some(conformance),
            trace: None,
            resource: None,
        }
    }

    fn new(
        v: &'w Validator,
        options: &'w Options,
        root: Element<'w>,
        environment: Environment<'w>,
    ) -> Walk<'w> {
        Walk {
            v,
            options,
            root,
            environment,
            issues: Vec::new(),
            steps: 0,
            trials: 0,
            failed: false,
            stack: Vec::with_capacity(16),
            active: Vec::new(),
            verdicts: FxHashMap::default(),
            judged: Vec::new(),
            buffer: String::new(),
            bundled: None,
            contained: FxHashMap::default(),
            told: Vec::new(),
            excused: Vec::new(),
        }
    }

    /// Counts a step. `false`: the walk is over.
    #[inline]
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        if self.steps <= MAX_STEPS
            && !(self.trials > 0 && self.failed)
            && self.issues.len() < self.options.issues
        {
            return true;
        }
        if self.steps == MAX_STEPS + 1 {
            let details = format!(
                "The resource was not checked to its end: its profiles ask for more than {MAX_STEPS} steps."
            );
            self.issues.push(issue(Severity::Error, IssueType::TooCostly, details));
            self.failed = true;
        }
        false
    }

    /// Whether a question has no error for an answer. Nothing is told of it.
    pub fn trial(&mut self, question: impl FnOnce(&mut Walk<'w>)) -> bool {
        let failed = std::mem::replace(&mut self.failed, false);
        self.trials += 1;
        question(self);
        self.trials -= 1;
        !std::mem::replace(&mut self.failed, failed)
    }

    /// Tells a finding at an element.
    #[cold]
    pub fn tell(
        &mut self,
        severity: Severity,
        code: IssueType,
        element: Element<'w>,
        id: &'static str,
        details: impl FnOnce() -> String,
    ) {
        if self.trials > 0 {
            self.failed |= severity <= Severity::Error;
            return;
        }
        if severity == Severity::Information && !self.options.information {
            return;
        }
        if self.issues.len() >= self.options.issues {
            return;
        }
        let mut found = issue(severity, code, details()).at(element.path());
        if !id.is_empty() {
            found = found.message_id(id);
        }
        found.position = element.position();
        self.issues.push(found);
    }

    /// Lets nothing warn of this.
    #[cold]
    pub fn excuse(&mut self, element: Element<'w>, details: &str) {
        if self.trials == 0 && self.excused.len() < self.options.issues {
            self.excused.push((element.path(), details.into()));
        }
    }

    /// Tells an error.
    #[cold]
    pub fn error(
        &mut self,
        code: IssueType,
        element: Element<'w>,
        id: &'static str,
        details: impl FnOnce() -> String,
    ) {
        self.tell(Severity::Error, code, element, id, details);
    }

    /// Whether something is told for the first time.
    pub fn is_news(&mut self, what: &str) -> bool {
        let is_known = self.told.iter().any(|told| told.as_ref() == what);
        if !is_known && self.trials == 0 {
            self.told.push(what.into());
        }
        !is_known
    }

    fn rules(&self, element: Element<'w>) -> Option<&'w TypeRules> {
        let shared = &self.v.shared;
        shared.base.get(&shared.schema, &shared.library, element.type_id())
    }

    /// A resource: the one judged, a contained one, or an entry's.
    pub fn resource(&mut self, resource: Element<'w>) {
        self.content(resource);
        match resource.type_name() {
            "Bundle" => self.bundle(resource),
            "QuestionnaireResponse" => {
                self.contained(resource);
                self.questionnaire(resource);
            }
            "MeasureReport" => {
                self.contained(resource);
                self.measure_report(resource);
            }
            "StructureDefinition" | "CodeSystem" | "ValueSet" => {
                self.contained(resource);
                self.definition(resource);
            }
            _ => self.contained(resource),
        }
        if self.options.claimed_profiles
            && let Some(meta) = resource.get("meta")
        {
            for claim in meta.all("profile") {
                if let Some(canonical) = claim.value() {
                    self.asked(resource, &canonical, Some(claim));
                }
            }
        }
    }

    /// A profile that is named, by the resource (at `claim`) or by who asks.
    pub fn asked(&mut self, resource: Element<'w>, canonical: &str, claim: Option<Element<'w>>) {
        let at = claim.unwrap_or(resource);
        match self.v.profile(canonical) {
            Ok(Some(profile)) => self.profile(resource, &profile),
            Ok(None) => {
                let severity = if claim.is_some() { Severity::Warning } else { Severity::Error };
                self.tell(
                    severity,
                    IssueType::NotFound,
                    at,
                    "VALIDATION_VAL_PROFILE_UNKNOWN_NOT_POLICY",
                    || format!("The profile {canonical} was not checked: it is not known here."),
                );
            }
            Err(error) => {
                self.error(IssueType::Structure, at, "", || format!("The profile cannot be used: {error}."))
            }
        }
    }

    /// Whether an element meets a profile; nothing is told of it.
    pub fn meets(&mut self, element: Element<'w>, profile: &Arc<Profile>) -> bool {
        let key = (element.node_id(), Arc::as_ptr(profile) as usize);
        if let Some(known) = self.verdicts.get(&key) {
            return *known;
        }
        self.stack.push(element);
        let found = self.trial(|walk| walk.profile(element, profile));
        self.stack.pop();
        self.verdicts.insert(key, found);
        self.judged.push(profile.clone());
        found
    }

    /// Whether an element meets a profile, told where it doesn't.
    pub fn profile(&mut self, element: Element<'w>, profile: &Arc<Profile>) {
        let key = (element.node_id(), Arc::as_ptr(profile) as usize);
        if self.active.contains(&key) || self.active.len() >= MAX_NESTED {
            return;
        }
        let schema = &self.v.shared.schema;
        if !schema.is_subtype(element.type_id(), profile.type_id) {
            let wanted = schema.type_name(profile.type_id);
            self.error(IssueType::Structure, element, "Validation_VAL_Profile_WrongType", || {
                format!("{} is for {wanted}, and this is {}.", profile.url, element.type_name())
            });
            return;
        }
        self.active.push(key);
        self.node(element, profile, 0);
        self.active.pop();
    }

    /// A profile by reference; unknown ones are told once.
    pub fn referred(&mut self, element: Element<'w>, reference: &ProfileReference) -> Option<Arc<Profile>> {
        match self.v.referred(reference) {
            Ok(Some(profile)) => return Some(profile),
            Ok(None) => {
                if self.is_news(&reference.canonical) {
                    self.tell(
                        Severity::Warning,
                        IssueType::NotFound,
                        element,
                        "Validation_VAL_Profile_Unknown",
                        || {
                            format!(
                                "The profile {} was not checked: it is not known here.",
                                reference.canonical
                            )
                        },
                    );
                }
            }
            Err(error) => {
                if self.is_news(&reference.canonical) {
                    self.error(IssueType::Structure, element, "", || {
                        format!("A profile cannot be used: {error}.")
                    });
                }
            }
        }
        None
    }

    /// The rules of an element's type, and of all below it.
    pub fn content(&mut self, element: Element<'w>) {
        if !self.step() {
            return;
        }
        let Some(rules) = self.rules(element) else { return };
        for invariant in &rules.invariants {
            self.invariant(element, invariant);
        }
        self.stack.push(element);
        let properties = self.v.shared.schema.properties(element.type_id());
        let mut required = rules.required.iter().peekable();
        let mut has_more_than_id = false;
        let (mut last, mut count) = (usize::MAX, 0_u32);
        for child in element.children() {
            let Some(id) = child.property_id() else { continue };
            let at = id.index() - rules.first;
            while let Some(wanted) = required.next_if(|wanted| wanted.first <= at) {
                if wanted.last < at {
                    self.missing(element, properties.get(wanted.first));
                }
            }
            let (Some(rule), Some(property)) = (rules.properties.get(at), properties.get(at)) else {
                continue;
            };
            count = if at == last { count + 1 } else { 1 };
            last = at;
            if count > rule.max && count == rule.max + 1 {
                self.error(IssueType::Structure, child, "Validation_VAL_Profile_Maximum_other", || {
                    format!("{} may have {} values at most.", property.name, rule.max)
                });
            }
            has_more_than_id |= property.name != "id";
            self.child(child, rule, property);
        }
        for wanted in required {
            self.missing(element, properties.get(wanted.first));
        }
        self.stack.pop();
        if !has_more_than_id && !element.is_resource() {
            self.empty(element);
        }
    }

    #[cold]
    fn missing(&mut self, element: Element<'w>, property: Option<&Property>) {
        let Some(property) = property else { return };
        self.error(IssueType::Required, element, "Validation_VAL_Profile_Minimum_other", || {
            let choice = if property.is_choice { "[x]" } else { "" };
            format!("{}{choice} is required, and there is none.", property.name)
        });
    }

    #[cold]
    fn empty(&mut self, element: Element<'w>) {
        self.error(
            IssueType::Invariant,
            element,
            "http://hl7.org/fhir/StructureDefinition/Element#ele-1",
            || "ele-1: an element must have a value or other elements besides its id.".to_owned(),
        );
    }

    fn child(&mut self, child: Element<'w>, rule: &'w PropertyRules, property: &'w Property) {
        for invariant in &rule.invariants {
            self.invariant(child, invariant);
        }
        if let Some(binding) = &rule.binding {
            self.bound(child, binding);
        }
        match rule.kind {
            Kind::Primitive | Kind::Xhtml | Kind::Uri => {
                match rule.kind {
                    Kind::Uri => self.urn(child),
                    Kind::Xhtml => self.narrative(child),
                    _ => {}
                }
                if child.children().next().is_some() {
                    if child.has_value() { self.extended(child) } else { self.content(child) }
                }
            }
            Kind::Resource => {
                self.stack.push(child);
                self.resource(child);
                self.stack.pop();
            }
            Kind::Extension => self.extension(child, false),
            Kind::Modifier => self.extension(child, true),
            Kind::Reference => {
                self.reference(child, &property.targets);
                self.content(child);
            }
            Kind::Coding => {
                self.coding(child);
                self.content(child);
            }
            Kind::Attachment => {
                self.attachment(child);
                self.content(child);
            }
            Kind::Complex => {
                for canonical in &rule.profiles {
                    if let Ok(Some(profile)) = self.v.profile(canonical) {
                        self.profile(child, &profile);
                    }
                }
                self.content(child);
            }
        }
    }

    /// txt-1 and txt-2: a narrative keeps the rules of XHTML, and there is something to read in it.
    fn narrative(&mut self, element: Element<'w>) {
        let Some(text) = element.value() else { return };
        match narrative_fault(&text) {
            None => {}
            Some(NarrativeFault::Markup(near)) => {
                let id = "http://hl7.org/fhir/StructureDefinition/Narrative#txt-1";
                self.error(IssueType::Invariant, element, id, || {
                    let near = super::extension::excerpt(&near);
                    format!(
                        "txt-1: a narrative is one div in the namespace of XHTML, well formed, with plain elements and \
                         attributes only; this is not, before '{near}'."
                    )
                });
            }
            Some(NarrativeFault::Empty) => {
                let id = "http://hl7.org/fhir/StructureDefinition/Narrative#txt-2";
                self.error(IssueType::Invariant, element, id, || {
                    "txt-2: there is nothing to read in the narrative.".to_owned()
                });
            }
        }
    }

    /// A URN of a kind with a form of its own.
    fn urn(&mut self, element: Element<'w>) {
        let Some(value) = element.value() else { return };
        let kind = match value.strip_prefix("urn:").and_then(|rest| rest.split_once(':')) {
            Some(("uuid", _)) => Primitive::Uuid,
            Some(("oid", _)) => Primitive::Oid,
            _ => return,
        };
        // A fragment or a version may follow where a canonical stands.
        let name = value.split(['|', '#']).next().unwrap_or(&value);
        if let Err(error) = kind.check(name) {
            self.error(IssueType::Value, element, "Type_Specific_Checks_DT_UUID_Valid", || {
                format!("'{}' {error}.", super::extension::excerpt(&value))
            });
        }
    }

    /// The size that an attachment states is that of its data.
    fn attachment(&mut self, element: Element<'w>) {
        let (Some(size), Some(data)) = (element.get("size"), element.get("data").and_then(Element::value))
        else {
            return;
        };
        let letters = data.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=').count();
        let bytes = letters * 3 / 4;
        if let Some(stated) = size.value().and_then(|it| it.parse::<usize>().ok())
            && stated != bytes
        {
            self.error(IssueType::Value, element, "", || {
                format!("The size says {stated}, and the data has {bytes} bytes.")
            });
        }
    }

    /// A primitive with a value: only what stands beside it is left to check.
    fn extended(&mut self, element: Element<'w>) {
        self.stack.push(element);
        for extension in element.all("extension") {
            self.extension(extension, false);
        }
        self.stack.pop();
    }

    /// Whether an invariant holds, told where it doesn't.
    #[inline]
    pub fn invariant(&mut self, element: Element<'w>, invariant: &Invariant) {
        if invariant.is_best_practice && !self.options.best_practice {
            return;
        }
        match invariant.check(element, &self.environment) {
            Outcome::Holds => {}
            outcome => self.violated(element, invariant, &outcome),
        }
    }

    #[cold]
    fn violated(&mut self, element: Element<'w>, invariant: &Invariant, outcome: &Outcome) {
        let key = &invariant.key;
        let (severity, code, details) = match outcome {
            Outcome::Holds => return,
            Outcome::Fails => {
                let severity = if invariant.is_warning { Severity::Warning } else { Severity::Error };
                (severity, IssueType::Invariant, format!("{key}: {}", invariant.human))
            }
            Outcome::Broken(why) => (
                Severity::Warning,
                IssueType::NotSupported,
                format!("{key} was not checked: its expression cannot be compiled: {why}."),
            ),
            Outcome::Stopped(error) => {
                let severity = match error.code {
                    IssueType::NotSupported => Severity::Warning,
                    _ if invariant.is_warning => Severity::Warning,
                    _ => Severity::Error,
                };
                (severity, error.code, format!("{key} cannot be evaluated: {}.", error.message))
            }
        };
        let before = self.issues.len();
        if code == IssueType::TooCostly {
            // One that costs too much would again at the next element.
            self.steps = self.steps.max(MAX_STEPS + 1);
        }
        self.tell(severity, code, element, "", || details);
        if let Some(told) = self.issues.get_mut(before) {
            let mut id = String::with_capacity(invariant.source.len() + key.len() + 1);
            let _ = write!(id, "{}#{key}", invariant.source);
            told.message_id = Some(id.into());
        }
    }
}
