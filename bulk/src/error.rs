//! Why an export ends before its end.

use fhirpath::{Issue, IssueType};

/// A job cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store refuses or fails, in words for the client.
    #[error("{}", .0.details)]
    Source(Box<Issue>),
    /// Files cannot be written or read; the cause is for the log.
    #[error("an output file cannot be used: {0}")]
    Output(#[from] std::io::Error),
    /// The server stops; the job goes on when it starts again.
    #[error("the server stops")]
    Stopping,
    /// The job was cancelled.
    #[error("the export was cancelled")]
    Cancelled,
}

impl ExportError {
    /// What the client is told.
    pub fn issue(&self) -> Issue {
        let details = match self {
            ExportError::Source(issue) => return (**issue).clone(),
            ExportError::Output(error) => match error.kind() {
                std::io::ErrorKind::StorageFull
                | std::io::ErrorKind::QuotaExceeded
                | std::io::ErrorKind::FileTooLarge => {
                    let details = "The server has no room for the files of this export; its files were removed. Ask for less, or \
                                   try again when there is room.";
                    return Issue::error(IssueType::NoStore, details);
                }
                _ if is_unreachable(error) => {
                    let details =
                        "The store of the files of exports cannot be reached; ask for the export again.";
                    return Issue::error(IssueType::Transient, details);
                }
                _ => "The server could not write the files of this export; its log says why.",
            },
            ExportError::Stopping => "The server stops.",
            ExportError::Cancelled => "The export was cancelled.",
        };
        Issue::error(IssueType::Exception, details)
    }

    /// Too much of something that has a bound.
    pub(crate) fn too_costly(details: String) -> ExportError {
        ExportError::Source(Box::new(Issue::error(IssueType::TooCostly, details)))
    }
}

/// That where jobs or their files are kept cannot be used now, and may be later; what is said of it is for the log.
pub fn unreachable(what: impl Into<String>) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::NotConnected, what.into())
}

/// Whether an error is of that kind.
pub fn is_unreachable(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotConnected
}
