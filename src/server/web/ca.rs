//! `/ca/{fingerprint}.pem`: a datastore's CA, for whoever verifies its servers. Public: a certificate is no secret, and its
//! fingerprint is known only to those who were shown it.

use super::{Web, errors::Failure};
use crate::server::db;
use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// Serves it.
///
/// # Errors
/// [`crate::error::AppError::Unavailable`].
pub async fn show(State(web): State<Web>, Path(file): Path<String>) -> Result<Response, Failure> {
    let Some(fingerprint) = file.strip_suffix(".pem") else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let Some(pem) = db::authorities::by_fingerprint(&web.app.db, fingerprint).await? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let name = format!("attachment; filename=\"granary-{}.pem\"", &fingerprint[..fingerprint.len().min(8)]);
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file".to_owned()), (header::CONTENT_DISPOSITION, name)], pem).into_response())
}
