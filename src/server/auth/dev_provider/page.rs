//! The page on which somebody says who they are.

use super::{PATH, Person, Question};
use crate::server::web::{
    assets::Assets,
    html::{self, Escaped},
};

/// Longest name and mail address, in bytes.
const LONGEST: usize = 200;

/// What is wrong with what was typed.
pub(super) fn problem(person: &Person) -> Option<&'static str> {
    let Person { name, email } = person;
    let is_mail = email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if name.is_empty() || name.len() > LONGEST {
        Some("Give a name of at most 200 characters.")
    } else if !is_mail || email.len() > LONGEST || email.contains(char::is_whitespace) {
        Some("Give a mail address, such as ada@example.org. No mail is sent to it.")
    } else {
        None
    }
}

/// The form; no script.
pub(super) fn form(assets: &Assets, question: &Question, person: &Person, error: Option<&str>) -> String {
    let hidden = [
        ("response_type", &question.response_type),
        ("client_id", &question.client_id),
        ("redirect_uri", &question.redirect_uri),
        ("state", &question.state),
        ("code_challenge", &question.code_challenge),
        ("code_challenge_method", &question.code_challenge_method),
    ];
    let hidden = hidden.into_iter().chain(question.nonce.as_ref().map(|nonce| ("nonce", nonce)));
    let hidden =
        hidden.fold(String::new(), |all, (name, value)| format!("{all}<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", Escaped(value)));
    let error = error.map(|error| format!("<div class=\"box tone-bad\" role=\"alert\"><p>{}</p></div>\n", Escaped(error))).unwrap_or_default();
    let field = |name: &str, label: &str, kind: &str, value: &str| {
        format!(
            "<div class=\"field\"><label for=\"{name}\">{label}</label>\
             <input id=\"{name}\" name=\"{name}\" type=\"{kind}\" value=\"{}\" required maxlength=\"{LONGEST}\"></div>\n",
            Escaped(value)
        )
    };
    let body = format!(
        "<div class=\"box tone-warning\"><p>This is the built-in development provider. It believes whatever you say, and opens on this machine only. \
         The same mail address is the same person.</p></div>\n{error}\
         <form method=\"post\" action=\"{PATH}/authorize\">\n{hidden}{}{}\
         <button class=\"button primary wide\" type=\"submit\">Sign in</button>\n</form>",
        field("name", "Name", "text", &person.name),
        field("email", "Mail address", "email", &person.email),
    );
    html::page(assets, "Sign in as", &body)
}
