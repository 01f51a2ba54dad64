//! Requests: none is redirected by itself, and every answer is looked at.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// What is not as the procedure asks, or why it could not be looked at: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub String);

/// What a test finds.
pub(crate) type Checked<T = ()> = Result<T, Wrong>;

/// Holds unless the condition does.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Wrong(otherwise())) }
}

/// An HTTP client that trusts the usual authorities and one more.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Http {
    /// A client; `authority` is the certificate of a local authority, PEM.
    pub fn new(authority: Option<&str>) -> Checked<Http> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(30));
        if let Some(pem) = authority {
            let certificate = reqwest::Certificate::from_pem(pem.as_bytes())
                .map_err(|error| Wrong(format!("the authority's certificate cannot be read: {error}")))?;
            builder = builder.tls_certs_merge([certificate]);
        }
        let client = builder.build().map_err(|error| Wrong(format!("no HTTP client: {error}")))?;
        Ok(Http { client })
    }

    /// Sends a request.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Checked<Answer> {
        let mut request = self.client.request(method.clone(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let failed = |error: reqwest::Error| Wrong(format!("{method} {url} failed: {error}"));
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(failed)?;
        Ok(Answer { status, headers, text })
    }

    /// GET.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Checked<Answer> {
        self.send(Method::GET, url, headers, None).await
    }

    /// POST of a form.
    pub async fn post_form(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Checked<Answer> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send(Method::POST, url, &all, Some(body)).await
    }
}

impl Answer {
    /// Refuses any status but these.
    pub fn expect(&self, statuses: &[u16]) -> Checked<&Answer> {
        ensure(statuses.contains(&self.status.as_u16()), || {
            format!("status {} instead of {statuses:?}: {}", self.status.as_u16(), self.start())
        })?;
        Ok(self)
    }

    /// Its JSON.
    pub fn json(&self) -> Checked<Value> {
        serde_json::from_str(&self.text).map_err(|_| Wrong(format!("no JSON: {}", self.start())))
    }

    /// Its JSON, a resource of a type.
    pub fn resource(&self, resource_type: &str) -> Checked<Value> {
        let json = self.expect(&[200])?.json()?;
        ensure(text(&json, "resourceType") == Some(resource_type), || {
            format!("not a {resource_type}: {}", self.start())
        })?;
        Ok(json)
    }

    /// A header; of several, the first.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn start(&self) -> String {
        self.text.chars().take(300).collect()
    }
}

/// A text member.
pub(crate) fn text<'j>(json: &'j Value, name: &str) -> Option<&'j str> {
    json.get(name).and_then(Value::as_str)
}

/// A text member that has to be there.
pub(crate) fn required<'j>(json: &'j Value, name: &str) -> Checked<&'j str> {
    text(json, name).filter(|text| !text.is_empty()).ok_or_else(|| Wrong(format!("`{name}` is missing")))
}
