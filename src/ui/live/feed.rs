//! The event stream: opened once, closed while nobody looks, opened again when somebody does.

use crate::model::job::Snapshot;
use leptos::{ev, prelude::*};
use std::{cell::RefCell, time::Duration};
use wasm_bindgen::{JsCast, prelude::Closure};
use web_sys::{EventSource, MessageEvent, VisibilityState};

/// After the server refused the stream, it is asked again this much later. (A broken connection the browser mends itself.)
const AGAIN: Duration = Duration::from_secs(5);

thread_local! {
    static FEED: RefCell<Feed> = RefCell::default();
}

type Listener = Box<dyn Fn(&Snapshot)>;

#[derive(Default)]
struct Feed {
    url: String,
    source: Option<EventSource>,
    listeners: Vec<Listener>,
}

/// Calls `listener` with each snapshot that `url` sends. All islands of a page follow the same URL. Only in the browser.
pub fn follow(url: String, listener: impl Fn(&Snapshot) + 'static) {
    let first = FEED.with_borrow_mut(|feed| {
        feed.listeners.push(Box::new(listener));
        let first = feed.url.is_empty();
        feed.url = url;
        first
    });
    if first {
        open();
        let _ = document_event_listener();
        super::reload::watch();
    }
}

fn document_event_listener() -> WindowListenerHandle {
    // `visibilitychange` bubbles from the document to the window.
    window_event_listener(ev::Custom::<web_sys::Event>::new("visibilitychange"), |_| {
        if document().visibility_state() == VisibilityState::Hidden { close() } else { open() }
    })
}

fn close() {
    if let Some(source) = FEED.with_borrow_mut(|feed| feed.source.take()) {
        source.close();
    }
}

fn open() {
    close();
    if document().visibility_state() == VisibilityState::Hidden {
        return;
    }
    let url = FEED.with_borrow(|feed| feed.url.clone());
    let Ok(source) = EventSource::new(&url) else { return };
    let message = Closure::<dyn Fn(MessageEvent)>::new(|event: MessageEvent| {
        if let Some(snapshot) = event.data().as_string().and_then(|text| serde_json::from_str::<Snapshot>(&text).ok()) {
            FEED.with_borrow(|feed| feed.listeners.iter().for_each(|listener| listener(&snapshot)));
        }
    });
    let refused = Closure::<dyn Fn()>::new({
        let source = source.clone();
        move || {
            if source.ready_state() == EventSource::CLOSED {
                set_timeout(open, AGAIN);
            }
        }
    });
    source.set_onmessage(Some(message.as_ref().unchecked_ref()));
    source.set_onerror(Some(refused.as_ref().unchecked_ref()));
    // The stream lives as long as the page; so do what listens to it.
    message.forget();
    refused.forget();
    FEED.with_borrow_mut(|feed| feed.source = Some(source));
}
