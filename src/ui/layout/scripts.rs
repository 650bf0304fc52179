//! Wakes the islands.

use leptos::{nonce::use_nonce, prelude::*};

/// Loads the browser side and has each island take up its part of the page. Leptos' own `HydrationScripts` asks for the
/// module ahead without the page's nonce, which our policy refuses; this one is let in, and is shorter, since our islands
/// hold no children. Between two islands the browser may answer whoever types or clicks meanwhile. Who leaves the page before all is loaded breaks that off, so it is no error.
#[component]
pub(crate) fn Scripts(options: LeptosOptions) -> impl IntoView {
    // What is outside of islands is not drawn again in the browser, so nothing is handed over for it.
    if let Some(context) = Owner::current_shared_context() {
        context.set_is_hydrating(false);
    }
    let base = format!("/{}/{}", options.site_pkg_dir, options.output_name);
    let (module, wasm) = (format!("{base}.js"), format!("{base}.wasm"));
    let start = format!(
        r#"const pause = () => globalThis.scheduler?.yield?.() ?? new Promise((done) => setTimeout(done));
try {{
  const g = await import("{module}");
  await g.default({{ module_or_path: "{wasm}" }});
  await pause();
  g.hydrate();
  for (const island of document.querySelectorAll("leptos-island")) {{
    await g[island.dataset.component]?.(island);
    await pause();
  }}
}} catch (error) {{
  console.warn("The page works without its islands, which could not be loaded:", error);
}}"#
    );
    view! {
        <link rel="modulepreload" href=module nonce=use_nonce() />
        <link rel="preload" href=wasm r#as="fetch" r#type="application/wasm" crossorigin="anonymous" />
        <script type="module" nonce=use_nonce() inner_html=start></script>
    }
}
