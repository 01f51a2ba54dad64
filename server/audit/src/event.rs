//! What happened, and who did it.

use smart::EventKind;

/// Something to be recorded. Texts that came from outside are cleaned when the record is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// When, milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, without anything about patients.
    pub failure: Option<String>,
    /// `client_id` of the app.
    pub client: Option<String>,
    /// The user.
    pub user: Option<User>,
    /// Address of the client, empty if it is not known.
    pub address: String,
    /// FHIR base URL that was asked.
    pub server: String,
    /// X-Request-Id.
    pub request: Option<String>,
    /// What it was about: `Patient/1`, `Patient/1/_history/2`, `Patient`.
    pub resource: Option<String>,
    /// The id of the patient it was about.
    pub patient: Option<String>,
    /// What was asked for, as it came: of a search, path and query or form.
    pub query: Option<String>,
    /// Why, as the user or the token said.
    pub purpose: Option<Coding>,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// A user's resource, `Practitioner/1`.
    Resource(String),
    /// A name as it was typed.
    Name(String),
}

/// A code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coding {
    /// In the words of who asked.
    pub text: Option<String>,
    /// Its system.
    pub system: String,
    /// It.
    pub code: String,
}

/// How an event ended (<https://hl7.org/fhir/R4/valueset-audit-event-outcome.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 0.
    Success,
    /// 4: it was refused.
    Refused,
    /// 8: the server failed.
    Failed,
}

impl Outcome {
    /// Of a status of HTTP.
    pub fn of_status(status: u16) -> Outcome {
        match status {
            0..=399 => Outcome::Success,
            400..=499 => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Outcome::Success => "0",
            Outcome::Refused => "4",
            Outcome::Failed => "8",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An interaction of FHIR's RESTful API.
    Interaction(Interaction),
    /// Something of the authorization server.
    Authorization(EventKind),
    /// A chain begins.
    Start,
    /// The heads of chains are signed.
    Checkpoint,
    /// A chain ends in good order.
    Stop,
    /// So many events were not recorded.
    Lost(u64),
}

/// An interaction (<https://hl7.org/fhir/R4/codesystem-restful-interaction.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // FHIR's own names
pub enum Interaction {
    Read,
    Vread,
    Update,
    Patch,
    Delete,
    Create,
    HistoryInstance,
    HistoryType,
    HistorySystem,
    SearchType,
    SearchSystem,
    Transaction,
    Operation,
    Capabilities,
}

/// What an interaction is to BALP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    Read,
    Create,
    Update,
    Delete,
    Query,
    /// Operations, transactions and what else has no pattern of its own: recorded like a query.
    Execute,
}

impl Interaction {
    /// Its code.
    pub fn code(self) -> &'static str {
        match self {
            Interaction::Read => "read",
            Interaction::Vread => "vread",
            Interaction::Update => "update",
            Interaction::Patch => "patch",
            Interaction::Delete => "delete",
            Interaction::Create => "create",
            Interaction::HistoryInstance => "history-instance",
            Interaction::HistoryType => "history-type",
            Interaction::HistorySystem => "history-system",
            Interaction::SearchType => "search-type",
            Interaction::SearchSystem => "search-system",
            Interaction::Transaction => "transaction",
            Interaction::Operation => "operation",
            Interaction::Capabilities => "capabilities",
        }
    }

    pub(crate) fn pattern(self) -> Pattern {
        match self {
            Interaction::Read | Interaction::Vread => Pattern::Read,
            Interaction::Create => Pattern::Create,
            Interaction::Update | Interaction::Patch => Pattern::Update,
            Interaction::Delete => Pattern::Delete,
            Interaction::SearchType | Interaction::SearchSystem => Pattern::Query,
            Interaction::HistoryInstance
            | Interaction::HistoryType
            | Interaction::HistorySystem
            | Interaction::Transaction
            | Interaction::Operation
            | Interaction::Capabilities => Pattern::Execute,
        }
    }
}

impl Event {
    /// An event of the log itself.
    pub(crate) fn own(kind: Kind, at_ms: i64) -> Event {
        let outcome = if matches!(kind, Kind::Lost(_)) { Outcome::Failed } else { Outcome::Success };
        Event {
            kind,
            at_ms,
            outcome,
            failure: None,
            client: None,
            user: None,
            address: String::new(),
            server: String::new(),
            request: None,
            resource: None,
            patient: None,
            query: None,
            purpose: None,
        }
    }
}

impl From<smart::Event> for Event {
    fn from(event: smart::Event) -> Event {
        let outcome = if event.failure.is_some() { Outcome::Refused } else { Outcome::Success };
        Event {
            outcome,
            failure: event.failure,
            client: event.client,
            user: event.user.map(User::Name),
            address: event.address,
            patient: event.patient,
            query: event.order,
            ..Event::own(Kind::Authorization(event.kind), event.at_s.saturating_mul(1000))
        }
    }
}
