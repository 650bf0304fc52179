import { defineConfig } from "@playwright/test";

const report: [string][] = [["list"]];
// scripts/test.sh counts with it.
if (process.env.PLAYWRIGHT_JSON_OUTPUT_NAME) report.push(["json"]);

export default defineConfig({
    globalSetup: "./support/setup.ts",
    reporter: report,
    outputDir: "test-results",
    forbidOnly: Boolean(process.env.CI),
    // A test that passes at the second try tells nothing: it is mended instead.
    retries: 0,
    fullyParallel: true,
    workers: 2,
    // Making a datastore takes seconds on a quiet machine; a busy one may need ten times as long.
    timeout: 180_000,
    expect: { timeout: 15_000 },
    use: {
        locale: "en-GB",
        timezoneId: "UTC",
        trace: "retain-on-failure",
        actionTimeout: 30_000,
        navigationTimeout: 30_000,
        launchOptions: {
            executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
            args: [
                // Root, as on most build machines, has no sandbox.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        },
    },
    projects: [
        { name: "chromium", testDir: "specs" },
        { name: "nojs", testDir: "nojs", use: { javaScriptEnabled: false } },
    ],
});
