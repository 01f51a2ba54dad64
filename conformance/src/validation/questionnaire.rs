//! A QuestionnaireResponse against its Questionnaire (<https://hl7.org/fhir/R4/questionnaireresponse.html#link>): the items it
//! has, their answers' types, numbers, bounds and options, and whether they are enabled. Scores and expressions are not looked
//! at.

use std::sync::Arc;

use fhirpath::primitive::{decimal, span};
use fhirpath::{Element, IssueType, Tree};

use super::extension::excerpt;
use super::terms::coding;
use super::walk::Walk;
use crate::terminology::CodeCheck;

const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";
/// Deepest nesting of items.
const MAX_DEPTH: usize = 50;

/// What is asked.
struct Asked<'q, 'w> {
    response: Element<'w>,
    /// Whether the answers are all there are to come.
    is_complete: bool,
    questionnaire: Element<'q>,
}

impl<'w> Walk<'w> {
    /// A QuestionnaireResponse whose Questionnaire is contained or stored.
    pub fn questionnaire(&mut self, response: Element<'w>) {
        let Some(canonical) = response.get("questionnaire").and_then(Element::value) else { return };
        if let Some(id) = canonical.strip_prefix('#') {
            let is = |it: &Element<'w>| it.get("id").and_then(Element::value).is_some_and(|it| it == id);
            if let Some(questionnaire) = response.all("contained").find(is) {
                self.answers_to(response, questionnaire);
            }
            return;
        }
        let (url, version) = match canonical.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (canonical.as_ref(), None),
        };
        let stored = self.v.stored.as_ref().map(|stored| stored.resources.clone());
        let found: Option<Arc<Tree>> =
            stored.and_then(|resources| resources.by_canonical("Questionnaire", url, version).ok().flatten());
        if let Some(tree) = found {
            self.answers_to(response, tree.root());
        }
    }

    fn answers_to(&mut self, response: Element<'w>, questionnaire: Element<'_>) {
        let status = response.get("status").and_then(Element::value);
        let is_complete = matches!(status.as_deref(), Some("completed" | "amended"));
        let asked = Asked { response, is_complete, questionnaire };
        self.items(&asked, response, questionnaire, 0);
    }

    /// The items of a group, a question's answer or the whole, against those asked for there.
    fn items(&mut self, asked: &Asked<'_, 'w>, at: Element<'w>, definition: Element<'_>, depth: usize) {
        if depth > MAX_DEPTH || !self.step() {
            return;
        }
        for item in at.all("item") {
            let Some(link) = text(item, "linkId") else { continue };
            let is = |it: &Element<'_>| text(*it, "linkId").as_deref() == Some(link.as_str());
            match definition.all("item").find(is) {
                Some(definition) => self.item(asked, item, definition, depth),
                None => {
                    let known = find(asked.questionnaire, &link, 0).is_some();
                    self.error(
                        IssueType::Structure,
                        item,
                        "Questionnaire_QR_Item_NotFound",
                        || match known {
                            true => format!(
                                "The item '{}' stands elsewhere in the questionnaire.",
                                excerpt(&link)
                            ),
                            false => format!("The questionnaire has no item '{}'.", excerpt(&link)),
                        },
                    );
                }
            }
        }
        for definition in definition.all("item") {
            let Some(link) = text(definition, "linkId") else { continue };
            let is = |it: &Element<'_>| text(*it, "linkId").as_deref() == Some(link.as_str());
            let items: Vec<Element<'w>> = at.all("item").filter(is).collect();
            let kind = text(definition, "type").unwrap_or_default();
            let is_required = flag(definition, "required") && asked.is_complete && kind != "display";
            let is_answered = |it: &Element<'w>| {
                if kind == "group" { it.get("item").is_some() } else { it.get("answer").is_some() }
            };
            if is_required && !items.iter().any(is_answered) && enabled(asked, definition) {
                self.error(IssueType::Required, at, "Questionnaire_QR_Item_Missing", || {
                    format!("The required item '{}' has no answer.", excerpt(&link))
                });
            }
            let count =
                items.iter().map(|it| if kind == "group" { 1 } else { it.all("answer").count() }).sum();
            if let Some(extra) = items.get(1).filter(|_| !flag(definition, "repeats")) {
                self.error(IssueType::Structure, *extra, "Questionnaire_QR_Item_OnlyOneA", || {
                    format!("The item '{}' does not repeat.", excerpt(&link))
                });
            }
            self.counted(asked, at, definition, count);
        }
    }

    /// `questionnaire-minOccurs` and `questionnaire-maxOccurs`.
    fn counted(&mut self, asked: &Asked<'_, 'w>, at: Element<'w>, definition: Element<'_>, count: usize) {
        let bound = |name: &str| extension(definition, name)?.value()?.parse::<usize>().ok();
        let link = text(definition, "linkId");
        let is_asked = flag(definition, "required") || at.all("item").any(|it| text(it, "linkId") == link);
        if let Some(least) = bound("questionnaire-minOccurs")
            && count < least
            && is_asked
            && asked.is_complete
        {
            self.error(IssueType::Required, at, "QUESTIONNAIRE_QR_ITEM_MIN_OCCURS", || {
                format!("At least {least} answers are asked for, and there are {count}.")
            });
        }
        if let Some(most) = bound("questionnaire-maxOccurs")
            && count > most
        {
            self.error(IssueType::Structure, at, "QUESTIONNAIRE_QR_ITEM_MAX_OCCURS", || {
                format!("At most {most} answers are asked for, and there are {count}.")
            });
        }
    }

    fn item(&mut self, asked: &Asked<'_, 'w>, item: Element<'w>, definition: Element<'_>, depth: usize) {
        let kind = text(definition, "type").unwrap_or_default();
        let answers: Vec<Element<'w>> = item.all("answer").collect();
        if (!answers.is_empty() || item.get("item").is_some()) && !enabled(asked, definition) {
            self.error(IssueType::BusinessRule, item, "Questionnaire_QR_Item_NotEnabled2", || {
                "The item has an answer, and is not enabled.".to_owned()
            });
        }
        if matches!(kind.as_str(), "group" | "display" | "question") {
            if !answers.is_empty() {
                self.error(IssueType::Structure, item, "Questionnaire_QR_Item_Group", || {
                    format!("An item of the type {kind} has no answers.")
                });
            }
            return self.items(asked, item, definition, depth + 1);
        }
        if item.get("item").is_some() {
            self.error(IssueType::Structure, item, "", || {
                "Items below a question stand in its answer.".to_owned()
            });
        }
        if answers.len() > 1 && !flag(definition, "repeats") {
            self.error(IssueType::Structure, item, "Questionnaire_QR_Item_OnlyOneA", || {
                "The question has one answer at most.".to_owned()
            });
        }
        for answer in &answers {
            if let Some(value) = answer.get("value") {
                self.answer(value, definition, &kind);
            }
            self.items(asked, *answer, definition, depth + 1);
        }
        self.exclusive(&answers, definition);
    }

    fn answer(&mut self, value: Element<'w>, definition: Element<'_>, kind: &str) {
        let wanted: &[&str] = match kind {
            "string" | "text" => &["string"],
            "url" => &["uri"],
            "choice" => &["Coding", "string", "integer", "date", "time", "Reference"],
            "open-choice" => &["Coding", "string", "integer", "date", "time", "Reference"],
            "attachment" => &["Attachment"],
            "reference" => &["Reference"],
            "quantity" => &["Quantity"],
            other => &[other],
        };
        let found = value.type_name();
        if !wanted.contains(&found) {
            self.error(IssueType::Structure, value, "Questionnaire_QR_Item_WrongType_one", || {
                format!("The answer must be of the type {}, and is {found}.", wanted.join(" or "))
            });
            return;
        }
        self.bounds(value, definition);
        self.options(value, definition, kind);
        self.unit(value, definition);
    }

    fn bounds(&mut self, value: Element<'w>, definition: Element<'_>) {
        let wrong = |walk: &mut Self, id: &'static str, details: String| {
            walk.error(IssueType::Invalid, value, id, || details);
        };
        if let Some(least) = bound(definition, "minValue", "sdc-questionnaire-minQuantity")
            && let Some(order) = compare(value, least)
            && order != Order::NotBelow(true)
        {
            wrong(self, bound_ids(value).0, order.sentence("less", least));
        }
        if let Some(most) = bound(definition, "maxValue", "sdc-questionnaire-maxQuantity")
            && let Some(order) = compare(most, value)
            && order != Order::NotBelow(true)
        {
            wrong(self, bound_ids(value).1, order.sentence("more", most));
        }
        let written = value.value().unwrap_or_default();
        if let Some(most) = text(definition, "maxLength").and_then(|it| it.parse::<usize>().ok())
            && written.chars().count() > most
        {
            wrong(self, "", format!("The answer has more than {most} characters."));
        }
        let number =
            |name: &str| extension(definition, name).and_then(|it| decimal(&it.value()?)).map(|it| it.value);
        #[allow(clippy::cast_precision_loss)] // lengths of texts
        if let Some(least) = number("minLength")
            && (written.chars().count() as f64) < least
        {
            wrong(self, "", format!("The answer has less than {least} characters."));
        }
        #[allow(clippy::cast_precision_loss)]
        if let Some(most) = number("maxDecimalPlaces")
            && let Some((_, places)) = written.split_once('.')
            && places.len() as f64 > most
        {
            wrong(
                self,
                "QUESTIONNAIRE_QR_ITEM_DECIMAL_MAX_DECIMALS",
                format!("The answer has more than {most} decimal places."),
            );
        }
        if let Some(pattern) = extension(definition, "regex").and_then(Element::value)
            && let Ok(regex) = regex_lite::Regex::new(&format!("^(?:{pattern})$"))
            && value.has_value()
            && !regex.is_match(&written)
        {
            wrong(
                self,
                "QUESTIONNAIRE_QR_ITEM_STRING_REGEX_EF",
                format!("The answer is not of the form {}.", excerpt(&pattern)),
            );
        }
        if value.type_name() == "Attachment" {
            self.attached(value, definition);
        }
    }

    fn attached(&mut self, value: Element<'w>, definition: Element<'_>) {
        let size = text(value, "size").and_then(|it| decimal(&it)).map(|it| it.value);
        let most = extension(definition, "maxSize").and_then(|it| decimal(&it.value()?)).map(|it| it.value);
        if let (Some(size), Some(most)) = (size, most)
            && size > most
        {
            self.error(IssueType::TooLong, value, "QUESTIONNAIRE_QR_ITEM_BAD_ATTACHMENT_LENGTH", || {
                format!("The attachment is too large: at most {most} bytes are asked for.")
            });
        }
        let url = format!("{CORE}mimeType");
        let allowed: Vec<String> = definition
            .all("extension")
            .filter(|it| text(*it, "url").as_deref() == Some(&url))
            .filter_map(|it| it.get("value")?.value().map(std::borrow::Cow::into_owned))
            .collect();
        let kind = text(value, "contentType").unwrap_or_default();
        if !allowed.is_empty() && !allowed.contains(&kind) {
            self.error(IssueType::Invalid, value, "QUESTIONNAIRE_QR_ITEM_BAD_ATTACHMENT_MIMETYPE", || {
                format!("The attachment must be {}.", allowed.join(" or "))
            });
        }
    }

    /// Whether a value is one of those to choose from.
    fn options(&mut self, value: Element<'w>, definition: Element<'_>, kind: &str) {
        let is_open = kind == "open-choice" && value.type_name() == "string";
        let mut options = definition.all("answerOption").filter_map(|it| it.get("value")).peekable();
        if options.peek().is_some() && !is_open && !options.any(|option| is_same(option, value)) {
            self.error(IssueType::CodeInvalid, value, "Questionnaire_QR_Item_NoCoding", || {
                "The answer is none of those to choose from.".to_owned()
            });
        }
        if let Some(set) = text(definition, "answerValueSet").filter(|set| !set.starts_with('#')) {
            self.in_value_set(value, &set);
        }
    }

    fn in_value_set(&mut self, value: Element<'w>, set: &str) {
        let Some(code) = coding(value) else { return };
        let why = match self.v.terminology.validate_code(set, &[code]) {
            CodeCheck::Invalid { why } => why.to_string(),
            CodeCheck::Valid { display_issue: Some(display) } => display.to_string(),
            CodeCheck::Valid { display_issue: None } | CodeCheck::NotChecked { .. } => return,
        };
        self.error(IssueType::CodeInvalid, value, "Questionnaire_QR_Item_BadOption", || {
            format!("Of the answers to choose from: {why}.")
        });
    }

    fn unit(&mut self, value: Element<'w>, definition: Element<'_>) {
        if value.type_name() != "Quantity" {
            return;
        }
        let url = format!("{CORE}questionnaire-unitOption");
        let mut units = definition
            .all("extension")
            .filter(|it| text(*it, "url").as_deref() == Some(&url))
            .filter_map(|it| it.get("value"))
            .peekable();
        let is = |unit: Element<'_>| ["system", "code"].iter().all(|it| text(unit, it) == text(value, it));
        if units.peek().is_some() && !units.any(is) {
            self.error(IssueType::CodeInvalid, value, "QUESTIONNAIRE_QR_ITEM_DECIMAL_INVALID_UNITS", || {
                "The unit is none of those to choose from.".to_owned()
            });
        }
        if let Some(set) = extension(definition, "questionnaire-unitValueSet").and_then(Element::value) {
            match coding(value) {
                Some(_) => self.in_value_set(value, &set),
                None => self.error(
                    IssueType::CodeInvalid,
                    value,
                    "QUESTIONNAIRE_QR_ITEM_DECIMAL_INVALID_UNITS",
                    || "The unit has no code, and must be one of a value set.".to_owned(),
                ),
            }
        }
    }

    /// An option that excludes all others is the only answer.
    fn exclusive(&mut self, answers: &[Element<'w>], definition: Element<'_>) {
        if answers.len() < 2 {
            return;
        }
        let is_exclusive = |option: &Element<'_>| {
            extension(*option, "questionnaire-optionExclusive")
                .and_then(Element::value)
                .is_some_and(|it| it == "true")
        };
        for option in definition.all("answerOption").filter(is_exclusive).filter_map(|it| it.get("value")) {
            let chosen =
                answers.iter().find(|it| it.get("value").is_some_and(|value| is_same(option, value)));
            if let Some(chosen) = chosen {
                self.error(IssueType::Invalid, *chosen, "QUESTIONNAIRE_QR_ITEM_EXCLUSIVE", || {
                    "This answer excludes all others, and there are others.".to_owned()
                });
            }
        }
    }
}

/// Whether one value is at least another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    NotBelow(bool),
    /// Quantities without a common unit.
    Incomparable,
}

impl Order {
    fn sentence(self, word: &str, bound: Element<'_>) -> String {
        let written = bound.value().or_else(|| bound.get("value")?.value()).unwrap_or_default();
        match self {
            Order::NotBelow(_) => format!("The answer is {word} than {written}."),
            Order::Incomparable => {
                format!("The answer cannot be compared with {written}: it has another unit.")
            }
        }
    }
}

/// Whether `one` is at least `other`; `None` where neither can be compared at all.
fn compare(one: Element<'_>, other: Element<'_>) -> Option<Order> {
    if one.type_name() == "Quantity" && other.type_name() == "Quantity" {
        let unit = |it: Element<'_>| text(it, "code").filter(|_| text(it, "system").is_some());
        let is_same = unit(one).is_some() && unit(one) == unit(other);
        if !is_same {
            return Some(Order::Incomparable);
        }
        let number = |it: Element<'_>| Some(decimal(&it.get("value")?.value()?)?.value);
        return Some(Order::NotBelow(number(one)? >= number(other)?));
    }
    let (one_text, other_text) = (one.value()?, other.value()?);
    if matches!(one.type_name(), "date" | "dateTime" | "instant") {
        // The least precise decides: 2022-06-30 is more than 2022-06, as the reference has it.
        let (one, other) = (span(&one_text)?, span(&other_text)?);
        return Some(Order::NotBelow(one.0 >= other.0 && one.1 >= other.1.min(one.1)));
    }
    if one.type_name() == "time" {
        return Some(Order::NotBelow(one_text >= other_text));
    }
    Some(Order::NotBelow(decimal(&one_text)?.value >= decimal(&other_text)?.value))
}

/// Whether an item is to be answered, as the other answers have it. Expressions are taken to enable.
fn enabled(asked: &Asked<'_, '_>, definition: Element<'_>) -> bool {
    let mut conditions = definition.all("enableWhen").peekable();
    if conditions.peek().is_none() {
        return true;
    }
    let holds = |condition: Element<'_>| {
        let question = text(condition, "question").unwrap_or_default();
        let mut answers = Vec::new();
        collect(asked.response, &question, &mut answers, 0);
        let wanted = condition.get("answer");
        match (text(condition, "operator").unwrap_or_default().as_str(), wanted) {
            ("exists", Some(wanted)) => answers.is_empty() != wanted.value().is_some_and(|it| it == "true"),
            ("=", Some(wanted)) => answers.iter().any(|it| is_same(wanted, *it)),
            ("!=", Some(wanted)) => answers.iter().any(|it| !is_same(wanted, *it)),
            (">=", Some(wanted)) => {
                answers.iter().any(|it| compare(*it, wanted) == Some(Order::NotBelow(true)))
            }
            ("<=", Some(wanted)) => {
                answers.iter().any(|it| compare(wanted, *it) == Some(Order::NotBelow(true)))
            }
            (">", Some(wanted)) => {
                answers.iter().any(|it| compare(wanted, *it) == Some(Order::NotBelow(false)))
            }
            ("<", Some(wanted)) => {
                answers.iter().any(|it| compare(*it, wanted) == Some(Order::NotBelow(false)))
            }
            _ => true,
        }
    };
    match text(definition, "enableBehavior").as_deref() {
        Some("any") => conditions.any(holds),
        _ => conditions.all(holds),
    }
}

/// The answers to a question, wherever it stands.
fn collect<'t>(at: Element<'t>, question: &str, answers: &mut Vec<Element<'t>>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for item in at.all("item") {
        if text(item, "linkId").as_deref() == Some(question) {
            answers.extend(item.all("answer").filter_map(|it| it.get("value")));
        }
        collect(item, question, answers, depth + 1);
        for answer in item.all("answer") {
            collect(answer, question, answers, depth + 1);
        }
    }
}

/// The item of a linkId.
fn find<'q>(at: Element<'q>, link: &str, depth: usize) -> Option<Element<'q>> {
    if depth > MAX_DEPTH {
        return None;
    }
    at.all("item").find_map(|item| match text(item, "linkId").as_deref() == Some(link) {
        true => Some(item),
        false => find(item, link, depth + 1),
    })
}

/// Whether an answer is the one that is wanted; of codings, system and code.
fn is_same(wanted: Element<'_>, found: Element<'_>) -> bool {
    if wanted.type_name() != found.type_name() {
        return false;
    }
    match wanted.type_name() {
        "Coding" => ["system", "code"].iter().all(|it| text(wanted, it) == text(found, it)),
        "Quantity" => ["value", "system", "code"].iter().all(|it| text(wanted, it) == text(found, it)),
        "Reference" => text(wanted, "reference") == text(found, "reference"),
        _ => wanted.value() == found.value(),
    }
}

fn text(element: Element<'_>, name: &str) -> Option<String> {
    element.get(name)?.value().map(std::borrow::Cow::into_owned)
}

fn flag(element: Element<'_>, name: &str) -> bool {
    element.get(name).and_then(Element::value).is_some_and(|it| it == "true")
}

/// The reference validator's names for a value below and above its bounds.
fn bound_ids(value: Element<'_>) -> (&'static str, &'static str) {
    match value.type_name() {
        "date" | "dateTime" => ("QUESTIONNAIRE_QR_ITEM_DATE_MIN", "QUESTIONNAIRE_QR_ITEM_DATE_MAX"),
        "time" => ("QUESTIONNAIRE_QR_ITEM_TIME_MIN", "QUESTIONNAIRE_QR_ITEM_TIME_MAX"),
        "decimal" => ("QUESTIONNAIRE_QR_ITEM_DECIMAL_MIN", "QUESTIONNAIRE_QR_ITEM_DECIMAL_MAX"),
        "integer" => ("QUESTIONNAIRE_QR_ITEM_INTEGER_MIN", "QUESTIONNAIRE_QR_ITEM_INTEGER_MAX"),
        "Quantity" => ("QUESTIONNAIRE_QR_ITEM_QUANTITY_MIN", "QUESTIONNAIRE_QR_ITEM_QUANTITY_MAX"),
        _ => ("", ""),
    }
}

/// A bound of a value: of FHIR's own, or of a quantity as Structured Data Capture has it.
fn bound<'q>(definition: Element<'q>, name: &str, quantity: &str) -> Option<Element<'q>> {
    let url = format!("http://hl7.org/fhir/uv/sdc/StructureDefinition/{quantity}");
    let of_quantity = || {
        let is = |it: &Element<'q>| text(*it, "url").as_deref() == Some(url.as_str());
        definition.all("extension").find(is)?.get("value")
    };
    extension(definition, name).or_else(of_quantity)
}

/// The value of an extension of FHIR's own.
fn extension<'q>(element: Element<'q>, name: &str) -> Option<Element<'q>> {
    let is = |it: &Element<'q>| {
        it.get("url").and_then(Element::value).is_some_and(|url| url.strip_prefix(CORE) == Some(name))
    };
    element.all("extension").find(is)?.get("value")
}
