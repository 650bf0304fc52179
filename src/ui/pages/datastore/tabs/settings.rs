//! `/datastores/:id/settings`: name, tags, termination protection, restart, delete.

use super::{
    super::show::show,
    Tab,
    replication::{DurabilityCard, ReadersCard},
};
use crate::model::status::Tone;
use crate::{
    model::{datastore::DatastoreView, form::Attempt, names},
    server_fns::{
        datastore::{protect::Protect, rename::Rename, restart::Restart, tags::SetTags},
        page::last_attempt,
    },
    ui::{
        components::{Card, CheckedField, FieldText, FormErrors, Glyph, Icon, Pill, PostButton, Rule},
        request::Sprite,
    },
};
use leptos::{prelude::*, server_fn::ServerFn};

/// Most tags of a datastore (rule 6).
const MAX_TAGS: usize = 12;

/// The tab.
#[component]
pub fn Settings() -> impl IntoView {
    show(
        Tab::Settings,
        |_| async {
            let attempt = |form: &str| last_attempt(form.to_owned());
            Ok((attempt("rename").await?, attempt("tags").await?, attempt("readers").await?))
        },
        |view, (rename, tags, readers)| {
            let replicated = view.row.nodes > 1;
            view! {
                <Name view=view.clone() attempt=rename.unwrap_or_default() />
                <Tags view=view.clone() attempt=tags.unwrap_or_default() />
                {replicated
                    .then(|| {
                        view! {
                            <DurabilityCard view=view.clone() />
                            <ReadersCard view=view.clone() attempt=readers.unwrap_or_default() />
                        }
                    })}
                <Protection view=view.clone() />
                <RestartCard view=view.clone() />
                <DeleteCard view />
            }
        },
    )
}

/// A form of one checked field.
fn one_field(action: &'static str, view: &DatastoreView, attempt: Attempt, text: FieldText, rule: Rule, save: &'static str) -> AnyView {
    let text = FieldText {
        value: attempt.value(&text.name).map_or(text.value, str::to_owned),
        error: attempt.errors.of(&text.name).map(str::to_owned),
        ..text
    };
    view! {
        <form method="post" action=action autocomplete="off">
            <input type="hidden" name="id" value=view.row.id.to_string() />
            <FormErrors errors=attempt.errors message=attempt.message />
            <CheckedField text rule sprite=Sprite::url() />
            <div class="actions">
                <button class="button" type="submit">
                    {save}
                </button>
            </div>
        </form>
    }
    .into_any()
}

#[component]
fn Name(view: DatastoreView, attempt: Attempt) -> impl IntoView {
    let text = FieldText {
        id: "name".to_owned(),
        name: "name".to_owned(),
        label: "Name".to_owned(),
        hint: format!("Letters, digits, - and _; up to {} characters. Addresses and connections stay as they are.", names::DATASTORE_NAME_MAX),
        value: view.row.name.clone(),
        error: None,
    };
    view! {
        <Card id="rename" title="Rename">
            {one_field(Rename::url(), &view, attempt, text, Rule::Name, "Save name")}
        </Card>
    }
}

#[component]
fn Tags(view: DatastoreView, attempt: Attempt) -> impl IntoView {
    let text = FieldText {
        id: "tags".to_owned(),
        name: "tags".to_owned(),
        label: "Tags".to_owned(),
        hint: format!("Separated by commas, at most {MAX_TAGS}."),
        value: view.row.tags.join(", "),
        error: None,
    };
    view! {
        <Card id="labels" title="Change tags">
            {one_field(SetTags::url(), &view, attempt, text, Rule::Tags(MAX_TAGS), "Save tags")}
        </Card>
    }
}

#[component]
fn Protection(view: DatastoreView) -> impl IntoView {
    let on = view.row.termination_protection;
    let (tone, word, label) = if on { (Tone::Good, "On", "Switch protection off") } else { (Tone::Quiet, "Off", "Switch protection on") };
    let badge = view! { <Pill tone word /> }.into_any();
    view! {
        <Card
            id="protection"
            title="Termination protection"
            lead="While it is on, deleting this datastore is refused, here and in the API."
            aside=badge
        >
            <PostButton action=Protect::url() label fields=vec![("id", view.row.id.to_string()), ("on", (!on).to_string())] />
        </Card>
    }
}

#[component]
fn RestartCard(view: DatastoreView) -> impl IntoView {
    let lead = if view.row.nodes > 1 {
        "Restarts the replicas, one after another, then the primary. Connections to a node are cut when its turn comes; clients connect again."
    } else {
        "Restarts the node. Connections are cut; clients connect again when it is back, after some seconds."
    };
    view! {
        <Card id="restart" title="Restart" lead>
            <PostButton action=Restart::url() label="Restart" glyph=Glyph::Restart fields=vec![("id", view.row.id.to_string())] />
        </Card>
    }
}

#[component]
fn DeleteCard(view: DatastoreView) -> impl IntoView {
    view! {
        <Card
            id="delete"
            title="Delete"
            lead=format!("Deletes {}, its users and all its data, at once and for good. The next page says what goes and asks for the name.", view.row.name)
            class="danger-zone"
        >
            <a class="button danger" href=format!("/datastores/{}/delete", view.row.id)>
                <Icon glyph=Glyph::Trash />
                "Delete…"
            </a>
        </Card>
    }
}
