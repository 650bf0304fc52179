//! Acknowledged writes over time, as a picture and as a table.

use super::{Column, Table};
use crate::{
    model::{drill::Outcome, format},
    ui::request::locale,
};
use leptos::prelude::*;
use std::fmt::Write as _;

/// Height of the drawing, in its own units; a sample is one wide.
const HEIGHT: f64 = 100.0;

/// Bars for samples, the longest pause shaded, a line where the primary was struck. Colours are attributes of SVG, because the pages
/// allow no inline style; the numbers stand in a table that everybody can open.
#[component]
pub(crate) fn WriteChart(
    /// What the probe saw.
    outcome: Outcome,
) -> impl IntoView {
    let width = outcome.samples.len().max(1);
    let sample = f64::from(outcome.sample_ms.max(1));
    let at = |ms: u64| whole(ms) / sample;
    let words = |ms: u64| locale().words(&format::duration(ms));
    let (begins, long) = (at(outcome.pause_at_ms), at(outcome.pause_ms));
    let all = u64::from(outcome.sample_ms) * outcome.samples.len() as u64;
    let lead = format!("Acknowledged writes in each {} over {}.", words(u64::from(outcome.sample_ms)), words(all));
    let columns = vec![Column::new("Second"), Column::new("Acknowledged writes")];
    view! {
        <figure>
            <svg viewBox=format!("0 0 {width} 100") preserveAspectRatio="none" width="100%" height="96" aria-hidden="true" focusable="false">
                <rect x=begins y="0" width=long height="100" fill="var(--bad-soft)" />
                <path d=bars(&outcome.samples) fill="var(--accent)" />
                <path d=format!("M0 100H{width}") stroke="var(--line-strong)" stroke-width="2" vector-effect="non-scaling-stroke" />
                {outcome
                    .struck_at_ms
                    .map(|ms| {
                        view! {
                            <path
                                d=format!("M{} 0V100", at(ms))
                                stroke="var(--bad)"
                                stroke-width="2"
                                stroke-dasharray="4 3"
                                vector-effect="non-scaling-stroke"
                            />
                        }
                    })}
            </svg>
            <figcaption class="hint">
                {lead}
                {outcome.struck_at_ms.map(|ms| format!(" The dashed line: the primary is struck, {} after the first write.", words(ms)))}
                " Shaded: the longest time without one."
            </figcaption>
        </figure>
        <details>
            <summary>"Writes in each second"</summary>
            <Table caption="Acknowledged writes in each second" columns>
                {outcome
                    .by_second()
                    .into_iter()
                    .enumerate()
                    .map(|(second, count)| {
                        view! {
                            <tr role="row">
                                <td role="cell" data-label="Second">{second + 1}</td>
                                <td role="cell" data-label="Acknowledged">{count}</td>
                            </tr>
                        }
                    })
                    .collect_view()}
            </Table>
        </details>
    }
}

/// One path for all bars, the highest as high as the drawing.
fn bars(samples: &[u32]) -> String {
    let most = f64::from(samples.iter().copied().max().unwrap_or_default().max(1));
    let mut path = String::new();
    for (index, count) in samples.iter().enumerate().filter(|(_, count)| **count > 0) {
        let high = f64::from(*count) / most * HEIGHT;
        let _ = write!(path, "M{index}.1 100v-{high:.1}h.8v{high:.1}z");
    }
    path
}

#[expect(clippy::cast_precision_loss, reason = "some minutes")]
fn whole(ms: u64) -> f64 {
    ms as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_is_as_high_as_the_drawing_and_silence_has_none() {
        assert_eq!(bars(&[5, 0, 10]), "M0.1 100v-50.0h.8v50.0zM2.1 100v-100.0h.8v100.0z");
        assert_eq!(bars(&[0, 0]), "");
        assert_eq!(bars(&[]), "");
    }
}
