//! How the issuer is spoken to: bounded in time and size, and never led elsewhere.

use super::client::Trouble;
use axum::http::StatusCode;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use std::{pin::Pin, time::Duration};

const CONNECT: Duration = Duration::from_secs(3);
const REQUEST: Duration = Duration::from_secs(10);
/// Largest answer of an issuer; its keys and metadata are some kilobytes.
const LARGEST: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection or the request failed.
    #[error(transparent)]
    Failed(#[from] reqwest::Error),
    /// It is the issuer's own failure.
    #[error("the answer is {0}")]
    Broken(StatusCode),
    /// It leads elsewhere.
    #[error("the answer leads elsewhere, which is not followed")]
    Elsewhere,
    /// More than any issuer needs to say.
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
    /// Not HTTP.
    #[error(transparent)]
    Malformed(#[from] axum::http::Error),
}

impl HttpError {
    /// What it means for a sign-in.
    #[must_use]
    pub fn trouble(self) -> Trouble {
        match self {
            Self::Failed(_) | Self::Broken(_) => Trouble::Away(self.into()),
            Self::Elsewhere | Self::TooLarge | Self::Malformed(_) => Trouble::Refused(self.into()),
        }
    }
}

/// The client.
#[derive(Debug)]
pub struct Http(reqwest::Client);

impl Http {
    /// `to_this_machine`: past any proxy of the environment.
    ///
    /// # Errors
    /// When the machine's trusted certificates cannot be read.
    pub fn new(to_this_machine: bool) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            // An answer that leads elsewhere could lead into the operator's network.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .user_agent(concat!("granary/", env!("CARGO_PKG_VERSION")));
        let client = if to_this_machine { client.no_proxy() } else { client };
        Ok(Self(client.build()?))
    }

    /// Reads an address.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, url: &str) -> Result<HttpResponse, HttpError> {
        self.send(axum::http::Request::get(url).body(Vec::new())?).await
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut answer = self.0.execute(request.try_into()?).await?;
        if answer.status().is_server_error() {
            return Err(HttpError::Broken(answer.status()));
        }
        if answer.status().is_redirection() {
            return Err(HttpError::Elsewhere);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > LARGEST {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = axum::http::Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        Ok(response.body(body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
