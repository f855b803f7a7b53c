// A certified identity provider for one client, in memory. People sign in by naming themselves:
// `/interaction/ID?login=NAME`. Usage: node provider.mjs PORT REDIRECT_URI
import http from "node:http";
import Provider from "oidc-provider";

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const people = {
  ada: { groups: ["ops"], email: "ada@example.org", email_verified: true },
  grace: { groups: ["ops", "tinpot-admins"], email: "grace@example.org", email_verified: false },
};

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "tinpot",
      client_secret: "a secret: of 100% & more",
      redirect_uris: [redirectUri],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  pkce: { required: () => true },
  scopes: ["openid", "profile", "email", "groups"],
  claims: {
    profile: ["preferred_username"],
    email: ["email", "email_verified"],
    groups: ["groups"],
  },
  cookies: { keys: ["a key of the cookies of tests"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: `subject-${id}`, preferred_username: id, ...people[id] }),
  }),
  // The person is not asked for consent.
  async loadExistingGrant(context) {
    const { client, session, provider: own } = context.oidc;
    const grant = new own.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid profile email groups");
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
http
  .createServer((request, response) => {
    const url = new URL(request.url, issuer);
    if (!url.pathname.startsWith("/interaction/")) return answer(request, response);
    const accountId = url.searchParams.get("login");
    const result =
      accountId === null
        ? { error: "access_denied", error_description: "<b>the person said no</b>" }
        : { login: { accountId } };
    provider.interactionFinished(request, response, result).catch((error) => {
      response.writeHead(500).end(String(error));
    });
  })
  .listen(Number(port), "127.0.0.1", () => console.log("ready"));
