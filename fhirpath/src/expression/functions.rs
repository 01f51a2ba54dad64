//! The functions of the language and FHIR's additions: one table. Each chapter of the specification is a file.

mod boundary;
mod combining;
mod conversion;
mod existence;
mod fhir;
mod filtering;
mod math;
mod strings;
mod subsetting;
mod terminology;
mod utility;

use std::ops::RangeInclusive;

use super::evaluate::{Call, Result};
use super::item::Items;
use super::types::System;

/// A function.
pub(super) struct Function {
    /// As it is written.
    pub name: &'static str,
    /// How many arguments it takes.
    pub arguments: RangeInclusive<usize>,
    /// What its arguments are.
    pub form: Form,
    /// What its result consists of.
    pub yields: Yields,
    /// Runs it over an input.
    pub run: for<'t> fn(&Call<'_, 't>, Items<'t>) -> Result<Items<'t>>,
}

/// What arguments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Collections, evaluated where the function stands.
    Values,
    /// Expressions, evaluated for each item of the input.
    Criteria,
    /// Expressions, evaluated for the one item of the input.
    Branch,
    /// A type specifier.
    Types,
    /// As `aggregate` has them.
    Aggregate,
    /// As `repeat` has it.
    Repeat,
    /// Expressions, evaluated for each item of the input; a sign before one, or `desc` behind it, turns the order round.
    Keys,
}

/// What a result consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Yields {
    /// Items of the input.
    Input,
    /// What the arguments yield.
    Arguments,
    /// What the arguments after the first yield.
    Branches,
    /// Items of the input and what the arguments yield.
    InputAndArguments,
    /// Values of one type.
    System(System),
    /// Elements of one type.
    Fhir(&'static str),
    /// Whatever there is.
    Any,
}

pub(super) use strings::Pattern;

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    TABLE.iter().find(|function| function.name == name)
}

/// `$name(arguments) $form -> $yields, $run`
macro_rules! functions {
    ($($name:literal, $arguments:expr, $form:ident, $yields:expr, $run:path;)*) => {
        &[$(Function { name: $name, arguments: $arguments, form: Form::$form, yields: $yields, run: $run }),*]
    };
}

const BOOLEAN: Yields = Yields::System(System::Boolean);
const INTEGER: Yields = Yields::System(System::Integer);
const DECIMAL: Yields = Yields::System(System::Decimal);
const STRING: Yields = Yields::System(System::String);
const DATE: Yields = Yields::System(System::Date);
const DATE_TIME: Yields = Yields::System(System::DateTime);
const TIME: Yields = Yields::System(System::Time);
const QUANTITY: Yields = Yields::System(System::Quantity);

/// All functions there are; any other name is refused.
pub(super) static TABLE: &[Function] = functions! {
    // https://hl7.org/fhirpath/N1/#existence
    "empty", 0..=0, Values, BOOLEAN, filtering::compiled_away;
    "exists", 0..=1, Criteria, BOOLEAN, existence::exists;
    "all", 1..=1, Criteria, BOOLEAN, filtering::compiled_away;
    "allTrue", 0..=0, Values, BOOLEAN, existence::all_true;
    "anyTrue", 0..=0, Values, BOOLEAN, existence::any_true;
    "allFalse", 0..=0, Values, BOOLEAN, existence::all_false;
    "anyFalse", 0..=0, Values, BOOLEAN, existence::any_false;
    "subsetOf", 1..=1, Values, BOOLEAN, existence::subset_of;
    "supersetOf", 1..=1, Values, BOOLEAN, existence::superset_of;
    "count", 0..=0, Values, INTEGER, filtering::compiled_away;
    "distinct", 0..=0, Values, Yields::Input, existence::distinct;
    "isDistinct", 0..=0, Values, BOOLEAN, existence::is_distinct;
    // https://hl7.org/fhirpath/N1/#filtering-and-projection
    "where", 1..=1, Criteria, Yields::Input, filtering::filter;
    "select", 1..=1, Criteria, Yields::Arguments, filtering::select;
    "repeat", 1..=1, Repeat, Yields::Any, filtering::repeat;
    "ofType", 1..=1, Types, Yields::Input, filtering::compiled_away;
    // https://hl7.org/fhirpath/N1/#subsetting
    "single", 0..=0, Values, Yields::Input, subsetting::single;
    "first", 0..=0, Values, Yields::Input, subsetting::first;
    "last", 0..=0, Values, Yields::Input, subsetting::last;
    "tail", 0..=0, Values, Yields::Input, subsetting::tail;
    "skip", 1..=1, Values, Yields::Input, subsetting::skip;
    // https://hl7.org/fhirpath/#fn-sort
    "sort", 0..=MAX_SORT_KEYS, Keys, Yields::Input, filtering::sort;
    "take", 1..=1, Values, Yields::Input, subsetting::take;
    "intersect", 1..=1, Values, Yields::Input, subsetting::intersect;
    "exclude", 1..=1, Values, Yields::Input, subsetting::exclude;
    // https://hl7.org/fhirpath/N1/#combining
    "union", 1..=1, Values, Yields::InputAndArguments, combining::union;
    "combine", 1..=1, Values, Yields::InputAndArguments, combining::combine;
    // https://hl7.org/fhirpath/N1/#conversion
    "iif", 2..=3, Branch, Yields::Branches, conversion::iif;
    "toBoolean", 0..=0, Values, BOOLEAN, conversion::to_boolean;
    "convertsToBoolean", 0..=0, Values, BOOLEAN, conversion::converts_to_boolean;
    "toInteger", 0..=0, Values, INTEGER, conversion::to_integer;
    "convertsToInteger", 0..=0, Values, BOOLEAN, conversion::converts_to_integer;
    "toDate", 0..=0, Values, DATE, conversion::to_date;
    "convertsToDate", 0..=0, Values, BOOLEAN, conversion::converts_to_date;
    "toDateTime", 0..=0, Values, DATE_TIME, conversion::to_date_time;
    "convertsToDateTime", 0..=0, Values, BOOLEAN, conversion::converts_to_date_time;
    "toDecimal", 0..=0, Values, DECIMAL, conversion::to_decimal;
    "convertsToDecimal", 0..=0, Values, BOOLEAN, conversion::converts_to_decimal;
    "toQuantity", 0..=1, Values, QUANTITY, conversion::to_quantity;
    "convertsToQuantity", 0..=1, Values, BOOLEAN, conversion::converts_to_quantity;
    "toString", 0..=0, Values, STRING, conversion::to_string;
    "convertsToString", 0..=0, Values, BOOLEAN, conversion::converts_to_string;
    "toTime", 0..=0, Values, TIME, conversion::to_time;
    "convertsToTime", 0..=0, Values, BOOLEAN, conversion::converts_to_time;
    // https://hl7.org/fhirpath/N1/#string-manipulation
    "indexOf", 1..=1, Values, INTEGER, strings::index_of;
    "substring", 1..=2, Values, STRING, strings::substring;
    "startsWith", 1..=1, Values, BOOLEAN, strings::starts_with;
    "endsWith", 1..=1, Values, BOOLEAN, strings::ends_with;
    "contains", 1..=1, Values, BOOLEAN, strings::contains;
    "upper", 0..=0, Values, STRING, strings::upper;
    "lower", 0..=0, Values, STRING, strings::lower;
    "matches", 1..=1, Values, BOOLEAN, strings::matches;
    "matchesFull", 1..=1, Values, BOOLEAN, strings::matches_full;
    "replaceMatches", 2..=2, Values, STRING, strings::replace_matches;
    "replace", 2..=2, Values, STRING, strings::replace;
    "length", 0..=0, Values, INTEGER, strings::length;
    "toChars", 0..=0, Values, STRING, strings::to_chars;
    "trim", 0..=0, Values, STRING, strings::trim;
    "split", 1..=1, Values, STRING, strings::split;
    "join", 0..=1, Values, STRING, strings::join;
    "escape", 1..=1, Values, STRING, strings::escape;
    "unescape", 1..=1, Values, STRING, strings::unescape;
    "encode", 1..=1, Values, STRING, strings::encode;
    "decode", 1..=1, Values, STRING, strings::decode;
    // https://hl7.org/fhirpath/N1/#math
    "abs", 0..=0, Values, Yields::Input, math::abs;
    "ceiling", 0..=0, Values, INTEGER, math::ceiling;
    "exp", 0..=0, Values, DECIMAL, math::exp;
    "floor", 0..=0, Values, INTEGER, math::floor;
    "ln", 0..=0, Values, DECIMAL, math::ln;
    "log", 1..=1, Values, DECIMAL, math::log;
    "power", 1..=1, Values, Yields::Any, math::power;
    "round", 0..=1, Values, DECIMAL, math::round;
    "sqrt", 0..=0, Values, DECIMAL, math::sqrt;
    "truncate", 0..=0, Values, INTEGER, math::truncate;
    // https://hl7.org/fhirpath/N1/#types
    "type", 0..=0, Values, Yields::System(System::TypeInfo), utility::type_of;
    "is", 1..=1, Types, BOOLEAN, filtering::compiled_away;
    "as", 1..=1, Types, Yields::Input, filtering::compiled_away;
    // https://hl7.org/fhirpath/N1/#tree-navigation
    "children", 0..=0, Values, Yields::Any, filtering::compiled_away;
    "descendants", 0..=0, Values, Yields::Any, filtering::compiled_away;
    // https://hl7.org/fhirpath/N1/#utility-functions
    "trace", 1..=2, Criteria, Yields::Input, utility::trace;
    "now", 0..=0, Values, DATE_TIME, utility::now;
    "today", 0..=0, Values, DATE, utility::today;
    "timeOfDay", 0..=0, Values, TIME, utility::time_of_day;
    "not", 0..=0, Values, BOOLEAN, filtering::compiled_away;
    "aggregate", 1..=2, Aggregate, Yields::Any, utility::aggregate;
    // https://hl7.org/fhirpath/#lowboundary
    "lowBoundary", 0..=1, Values, Yields::Any, boundary::low_boundary;
    "highBoundary", 0..=1, Values, Yields::Any, boundary::high_boundary;
    "precision", 0..=0, Values, INTEGER, boundary::precision;
    "comparable", 1..=1, Values, BOOLEAN, boundary::comparable;
    // https://hl7.org/fhir/R4/fhirpath.html#functions
    "extension", 1..=1, Values, Yields::Fhir("Extension"), fhir::extension;
    "hasExtension", 1..=1, Values, BOOLEAN, fhir::has_extension;
    "conformsTo", 1..=1, Values, BOOLEAN, fhir::conforms_to;
    "hasValue", 0..=0, Values, BOOLEAN, filtering::compiled_away;
    "getValue", 0..=0, Values, Yields::Any, fhir::get_value;
    "resolve", 0..=0, Values, Yields::Fhir("Resource"), fhir::resolve;
    "elementDefinition", 0..=0, Values, Yields::Fhir("ElementDefinition"), fhir::element_definition;
    "slice", 2..=2, Values, Yields::Input, fhir::slice;
    "checkModifiers", 1..=MAX_MODIFIERS, Values, Yields::Input, fhir::check_modifiers;
    "memberOf", 1..=1, Values, BOOLEAN, terminology::member_of;
    "subsumes", 1..=1, Values, BOOLEAN, terminology::subsumes;
    "subsumedBy", 1..=1, Values, BOOLEAN, terminology::subsumed_by;
    "htmlChecks", 0..=0, Values, BOOLEAN, fhir::html_checks;
    // https://build.fhir.org/ig/FHIR/sql-on-fhir-v2/StructureDefinition-ViewDefinition.html#required-additional-functions
    "getResourceKey", 0..=0, Values, STRING, fhir::get_resource_key;
    "getReferenceKey", 0..=1, Types, STRING, fhir::get_reference_key;
};

/// `resolve()` of search parameters: what is elsewhere is not read, and passed over.
pub(super) static RESOLVE_INSIDE: Function = Function {
    name: "resolve",
    arguments: 0..=0,
    form: Form::Values,
    yields: Yields::Fhir("Resource"),
    run: fhir::resolve_inside,
};

/// Most keys of a sort and modifiers of a check.
const MAX_SORT_KEYS: usize = 16;
const MAX_MODIFIERS: usize = 16;

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}()", self.name)
    }
}
