//! The one error that crosses a boundary: every use case ends in it, every page, form and endpoint shows it.
//!
//! Inside the server `anyhow` carries context through jobs and `sqlx`/`io` errors stay what they are; at the edge of
//! a use case they become [`AppError::Internal`], are logged there once with the request id, and only the id goes out.

use leptos::prelude::*;
use leptos::server_fn::codec::JsonEncoding;
use serde::{Deserialize, Serialize};

/// What was wrong with one field of a form, in words a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Name of the form field.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// The errors of a form, in the order of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// One error for one field.
    pub fn one(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, message);
        errors
    }

    /// Adds an error.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Keeps the value, or notes the error under `field`.
    pub fn check<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }

    /// The first message for a field.
    #[must_use]
    pub fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|e| e.field == field).map(|e| e.message.as_str())
    }

    /// True when nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok` when nothing is wrong.
    ///
    /// # Errors
    /// [`AppError::Invalid`] with these errors.
    pub fn into_result(self) -> Result<(), AppError> {
        if self.is_empty() { Ok(()) } else { Err(AppError::Invalid(self)) }
    }
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AppError {
    /// It does not exist, or belongs to somebody else: the answer is the same.
    #[error("This does not exist, or it is not yours to see.")]
    NotFound,
    /// Nobody is signed in, or the session has ended.
    #[error("Sign in to go on. What you had typed is kept.")]
    SignedOut,
    /// The role in this project is not enough.
    #[error("Your role in this project does not allow this.")]
    Forbidden,
    /// Fields are wrong; each says how.
    #[error("Some fields need another look.")]
    Invalid(FieldErrors),
    /// The request does not fit the present state.
    #[error("{0}")]
    Conflict(String),
    /// Work in progress forbids it for the moment.
    #[error("{0}")]
    Busy(String),
    /// It would exceed the project's quota or the region's capacity.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The metadata database does not answer; the databases themselves go on.
    #[error("Granary's own database does not answer at the moment. Your databases go on. Try again in a few seconds.")]
    Unavailable,
    /// The metadata database answers, but takes no changes: it is read-only, or its disk is full.
    #[error(
        "Granary's own database takes no changes at the moment, so this was not done. Your databases go on, and pages can be read. \
         Try again later; if it stays, whoever runs Granary has to make room on its disk, or end its read-only mode."
    )]
    ReadOnly,
    /// Our fault; the id finds it in the log.
    #[error("Something went wrong on our side. Request id: {request_id}")]
    Internal {
        /// Id of the request, as in the `x-request-id` header and the log.
        request_id: String,
    },
}

impl AppError {
    /// Whether nothing is wrong with the request: it can be made again as it is, later.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Unavailable | Self::ReadOnly)
    }

    /// The HTTP status that says the same.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::SignedOut => 401,
            Self::Forbidden => 403,
            Self::Invalid(_) => 422,
            Self::Conflict(_) | Self::Busy(_) => 409,
            Self::QuotaExceeded(_) => 413,
            Self::Unavailable | Self::ReadOnly => 503,
            Self::Internal { .. } => 500,
        }
    }
}

impl FromServerFnError for AppError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Args(what) | ServerFnErrorErr::MissingArg(what) => {
                Self::Invalid(FieldErrors::one("form", format!("The form could not be read: {what}")))
            }
            _ => Self::Internal { request_id: String::new() },
        }
    }
}
