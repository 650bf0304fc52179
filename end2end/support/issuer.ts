// An OpenID Connect issuer as an organisation would run it, in this process: the certified provider `oidc-provider`.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import Provider from "oidc-provider";

export type Account = { name: string; email: string; email_verified: boolean; groups?: string[] };

export const client = { client_id: "granary", client_secret: "a-secret-between-granary-and-its-issuer" };

export class Issuer {
    private constructor(
        readonly url: string,
        private readonly server: Server,
    ) {}

    /** `accounts` by subject; `granary` is where Granary is reached. */
    static async start(port: number, granary: string, accounts: Record<string, Account>): Promise<Issuer> {
        const url = `http://127.0.0.1:${port}`;
        const provider = new Provider(url, {
            clients: [{ ...client, redirect_uris: [`${granary}/auth/callback`], post_logout_redirect_uris: [`${granary}/sign-in`] }],
            claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
            scopes: ["openid", "email", "profile", "groups"],
            cookies: { keys: ["only-for-tests"] },
            features: {
                devInteractions: { enabled: false },
                // The pages that come with it load fonts from elsewhere.
                rpInitiatedLogout: { enabled: true, logoutSource: signOutPage },
            },
            interactions: { url: (_context: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
            findAccount: (_context: unknown, sub: string) => ({ accountId: sub, claims: () => ({ sub, ...accounts[sub] }) }),
            loadExistingGrant: grantEverything,
        });
        const callback = provider.callback();
        const server = createServer((request, response) => {
            const answer = request.url?.startsWith("/interaction/") ? signInPage(provider, request, response, accounts) : callback(request, response);
            Promise.resolve(answer).catch((error) => response.writeHead(500).end(String(error)));
        });
        await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
        return new Issuer(url, server);
    }

    async stop() {
        this.server.closeAllConnections();
        await new Promise((done) => this.server.close(done));
    }
}

/** Granary belongs to the organisation: nobody is asked whether it may know their name. */
const grantEverything = async (context: any) => {
    const { client, session, provider, params } = context.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope);
    await grant.save();
    return grant;
};

const signOutPage = (context: any, form: string) => {
    context.body = `<!doctype html><title>Issuer</title><h1>Sign out here too?</h1>${form}
        <button form="op.logoutForm" name="logout" value="yes">Sign out everywhere</button>`;
};

/** Asks which account, as a real one asks for a password. */
const signInPage = async (provider: any, request: IncomingMessage, response: ServerResponse, accounts: Record<string, Account>) => {
    const details = await provider.interactionDetails(request, response);
    if (request.method === "POST") {
        let body = "";
        for await (const part of request) body += part;
        const accountId = new URLSearchParams(body).get("account");
        const result = accountId ? { login: { accountId } } : { error: "access_denied", error_description: "the person said no" };
        return provider.interactionFinished(request, response, result);
    }
    const buttons = Object.keys(accounts).map((sub) => `<button name="account" value="${sub}">Continue as ${sub}</button>`);
    response.writeHead(200, { "content-type": "text/html" });
    response.end(
        `<!doctype html><title>Issuer</title><h1>The organisation</h1><form method="post" action="/interaction/${details.uid}">
        ${buttons.join("")}<button name="account" value="">Cancel</button></form>`,
    );
};
