// Before all tests one Granary is started, with its built-in provider; after all it is stopped.
// With E2E_URL set, the tests use the one that runs there.

import { Granary } from "./granary.ts";

export default async function setup() {
    if (process.env.E2E_URL) return;
    const granary = await Granary.start();
    process.env.E2E_URL = granary.url;
    return () => granary.stop();
}
