//! `/datastores/:id/firewall`: who may connect. No source, no access (rule 26).

use super::{super::show::show, Tab};
use crate::{
    model::{
        firewall::{FirewallView, RefusedAddress, TrustedSource},
        form::Attempt,
        status::Tone,
    },
    server_fns::{
        firewall::{add::Add, remove::Remove, show::show as firewall},
        page::last_attempt,
    },
    ui::{
        components::{Card, CheckedField, Column, EmptyState, FieldText, FormErrors, Glyph, Icon, Pill, PostButton, Rule, Table, TextField, TimeAgo},
        request::{Now, Sprite},
    },
};
use leptos::{prelude::*, server_fn::ServerFn};
use std::time::Duration;
use uuid::Uuid;

/// What is typed to open a datastore to everyone.
const CONSENT: &str = "open to everyone";

/// The tab.
#[component]
pub fn Firewall() -> impl IntoView {
    show(
        Tab::Firewall,
        |view| async move { Ok((firewall(view.row.id).await?, last_attempt("source".to_owned()).await?)) },
        |view, (firewall, attempt)| {
            let id = view.row.id;
            view! {
                <YourAddress id firewall=firewall.clone() />
                <Sources id sources=firewall.sources />
                <Create id attempt=attempt.unwrap_or_default() />
                {(!firewall.refused.is_empty()).then(|| view! { <Refused id refused=firewall.refused /> })}
            }
        },
    )
}

#[component]
fn YourAddress(id: Uuid, firewall: FirewallView) -> impl IntoView {
    let badge = view! { <Pill tone=firewall.exposure.tone() word=firewall.exposure.word() /> }.into_any();
    let add = move |cidr: &str| vec![("id", id.to_string()), ("cidr", cidr.to_owned()), ("description", "My address".to_owned())];
    view! {
        <Card id="access" title="Access" lead="Only trusted sources reach the endpoints; everybody else is refused before the database is asked." aside=badge>
            {match firewall.your_address {
                Some((cidr, true)) => {
                    view! {
                        <p class="line tone-good">
                            <Icon glyph=Glyph::Good />
                            {format!("Your address {cidr} is allowed.")}
                        </p>
                    }
                        .into_any()
                }
                Some((cidr, false)) => {
                    view! {
                        <div class="line tone-warning">
                            <Icon glyph=Glyph::Warning />
                            <span>{format!("Your address {cidr} is not allowed.")}</span>
                            <PostButton action=Add::url() label="Add my address" look="small" fields=add(&cidr) />
                        </div>
                    }
                        .into_any()
                }
                None => view! { <p class="line">"Your address cannot be told for sure: a proxy stands between that Granary does not know."</p> }.into_any(),
            }}
        </Card>
    }
}

#[component]
fn Sources(id: Uuid, sources: Vec<TrustedSource>) -> impl IntoView {
    let columns = vec![
        Column::new("Source"),
        Column::new("Description"),
        Column::new("Added"),
        Column { head: view! { <span class="sr-only">"Actions"</span> }.into_any(), ..Column::new("") },
    ];
    view! {
        <Card id="sources" title="Trusted sources">
            {if sources.is_empty() {
                view! {
                    <EmptyState glyph=Glyph::Shield title="No trusted source" heading=3>
                        <p>"No source, no access: nobody can connect. Add your own address, or the network of your applications."</p>
                    </EmptyState>
                }
                    .into_any()
            } else {
                view! {
                    <Table caption="Trusted sources" columns class="sources">
                        {sources.into_iter().map(|source| view! { <SourceRow id source /> }).collect_view()}
                    </Table>
                }
                    .into_any()
            }}
        </Card>
    }
}

#[component]
fn SourceRow(id: Uuid, source: TrustedSource) -> impl IntoView {
    let everyone = source.cidr.ends_with("/0");
    let name = format!("Remove {}", source.cidr);
    view! {
        <tr role="row">
            <td role="cell">
                <code>{source.cidr}</code>
                {everyone.then(|| view! { <Pill tone=Tone::Warning word="Everyone" /> })}
                {(!source.in_effect).then(|| view! { <Pill tone=Tone::Busy word="Being applied" /> })}
            </td>
            <td role="cell" data-label="Description">
                {if source.description.is_empty() { "–".to_owned() } else { source.description }}
            </td>
            <td role="cell" data-label="Added">
                <TimeAgo at=source.created_at />
                {format!(" by {}", source.added_by)}
            </td>
            <td role="cell" class="cell-menu">
                <PostButton
                    action=Remove::url()
                    label="Remove"
                    name=name
                    look="ghost small danger"
                    fields=vec![("id", id.to_string()), ("source", source.id.to_string())]
                />
            </td>
        </tr>
    }
}

#[component]
fn Create(id: Uuid, attempt: Attempt) -> impl IntoView {
    let value = |field: &str| attempt.value(field).unwrap_or_default().to_owned();
    let error = |field: &str| attempt.errors.of(field).map(str::to_owned);
    let (description, description_error) = (value("description"), error("description"));
    let (consent, consent_error) = (value("consent"), error("consent"));
    let consents = consent_error.is_some() || !consent.is_empty();
    let cidr = FieldText {
        id: "cidr".to_owned(),
        name: "cidr".to_owned(),
        label: "Address range (CIDR)".to_owned(),
        hint: "Such as 1.2.3.4/32 for one address.".to_owned(),
        value: value("cidr"),
        error: error("cidr"),
    };
    view! {
        <Card id="new-source" title="New trusted source">
            <form method="post" action=Add::url() autocomplete="off">
                <input type="hidden" name="id" value=id.to_string() />
                <FormErrors errors=attempt.errors message=attempt.message />
                <div class="columns">
                    <CheckedField text=cidr rule=Rule::Cidr sprite=Sprite::url() />
                    <TextField
                        id="description"
                        name="description"
                        label="Description"
                        hint="Who or what comes from there."
                        value=description
                        error=description_error
                    />
                </div>
                <details class="consent" open=consents>
                    <summary>"Open to everyone (0.0.0.0/0 or ::/0)?"</summary>
                    <TextField
                        id="consent"
                        name="consent"
                        label="Typed consent"
                        hint=format!("Every address of the internet may then try passwords. If you mean it, type: {CONSENT}")
                        value=consent
                        error=consent_error
                    />
                </details>
                <div class="actions">
                    <button class="button primary" type="submit">
                        "+ Create trusted source"
                    </button>
                </div>
            </form>
        </Card>
    }
}

#[component]
fn Refused(id: Uuid, refused: Vec<RefusedAddress>) -> impl IntoView {
    let columns = vec![
        Column::new("Address"),
        Column::new("Refused"),
        Column::new("Last"),
        Column { head: view! { <span class="sr-only">"Actions"</span> }.into_any(), ..Column::new("") },
    ];
    view! {
        <Card id="refused" title="Recently refused" lead="Addresses that tried to connect and were turned away.">
            <Table caption="Recently refused addresses" columns class="sources">
                {refused
                    .into_iter()
                    .map(|it| {
                        let cidr = format!("{}/{}", it.address, if it.address.contains(':') { 128 } else { 32 });
                        let name = format!("Allow {}", it.address);
                        view! {
                            <tr role="row">
                                <td role="cell">
                                    <code>{it.address}</code>
                                </td>
                                <td role="cell" data-label="Refused" class="num">
                                    {format!("{} ×", it.count)}
                                </td>
                                <td role="cell" data-label="Last" class="num">
                                    {Now::get().map(|now| view! { <TimeAgo at=now - Duration::from_secs(it.seconds_ago) /> })}
                                </td>
                                <td role="cell" class="cell-menu">
                                    <PostButton
                                        action=Add::url()
                                        label="Allow"
                                        name=name
                                        look="small"
                                        fields=vec![("id", id.to_string()), ("cidr", cidr), ("description", "Allowed after it was refused".to_owned())]
                                    />
                                </td>
                            </tr>
                        }
                    })
                    .collect_view()}
            </Table>
        </Card>
    }
}
