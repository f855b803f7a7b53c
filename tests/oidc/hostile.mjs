// An identity provider that lies on request: `POST /lie?NAME`. It signs every person in at once.
// Usage: node hostile.mjs PORT
import crypto from "node:crypto";
import http from "node:http";

const [port] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const pair = () => crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
const [own, other] = [pair(), pair()];
const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const codes = new Map();
let lie = "";
let logged = [];

function idToken(nonce) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: lie === "iss" ? "http://127.0.0.1:1" : issuer,
    aud: lie === "aud" ? "another" : "tinpot",
    sub: "1",
    preferred_username: "ada",
    ...(lie !== "userinfo" && { groups: ["ops"] }),
    nonce: lie === "nonce" ? "stolen" : nonce,
    iat: lie === "future" ? now + 3600 : now,
    exp: lie === "expired" ? now - 3600 : now + 300,
    ...(lie === "azp" && { azp: "another" }),
    ...(lie === "at_hash" && { at_hash: "AAAAAAAAAAAAAAAAAAAAAA" }),
  };
  const alg = { none: "none", hmac: "HS256" }[lie] ?? "RS256";
  const message = `${encoded({ alg, kid: lie === "kid" ? "2" : "1" })}.${encoded(claims)}`;
  const signed = () => {
    if (alg === "none") return "";
    if (alg === "HS256") {
      // The confusion: the public key as a shared secret.
      const secret = own.publicKey.export({ type: "spki", format: "pem" });
      return crypto.createHmac("sha256", secret).update(message).digest("base64url");
    }
    const { privateKey } = lie === "key" ? other : own;
    return crypto.sign("sha256", Buffer.from(message), privateKey).toString("base64url");
  };
  return `${message}.${signed()}`;
}

async function answer(request, response) {
  const url = new URL(request.url, issuer);
  const json = (value, status = 200) => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  };
  let body = "";
  for await (const part of request) body += part;
  const form = new URLSearchParams(body);
  switch (url.pathname) {
    case "/lie":
      lie = url.search.slice(1);
      logged = [];
      return json({});
    case "/log":
      return json(logged);
    case "/.well-known/openid-configuration":
      if (lie === "html") return response.end("<html>");
      return json({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/keys`,
        userinfo_endpoint: `${issuer}/userinfo`,
        authorization_response_iss_parameter_supported: true,
      });
    case "/keys": {
      const key = own.publicKey.export({ format: "jwk" });
      return json({ keys: [{ ...key, kid: "1", use: "sig", alg: "RS256" }] });
    }
    case "/authorize": {
      const asked = url.searchParams;
      logged.push(Object.fromEntries(asked));
      const code = crypto.randomUUID();
      codes.set(code, { nonce: asked.get("nonce"), challenge: asked.get("code_challenge") });
      const to = new URL(asked.get("redirect_uri"));
      to.searchParams.set("code", code);
      to.searchParams.set("state", lie === "state" ? "stolen" : asked.get("state"));
      if (lie === "twice") to.searchParams.append("state", "stolen");
      if (lie !== "no-iss") {
        to.searchParams.set("iss", lie === "callback-iss" ? "http://127.0.0.1:1" : issuer);
      }
      return response.writeHead(303, { location: to.href }).end();
    }
    case "/token": {
      const known = codes.get(form.get("code"));
      const verifier = form.get("code_verifier") ?? "";
      const challenge = crypto.createHash("sha256").update(verifier).digest("base64url");
      // It lets a code be used again: the client must not.
      if (known === undefined || known.challenge !== challenge) {
        return json({ error: "invalid_grant" }, 400);
      }
      if (lie === "huge") return json({ id_token: "a".repeat(2_000_000) });
      return json({ id_token: idToken(known.nonce), access_token: "access", token_type: "Bearer" });
    }
    case "/userinfo":
      return json({ sub: lie === "userinfo" ? "2" : "1", email: "ada@example.org" });
    default:
      return json({}, 404);
  }
}

http.createServer(answer).listen(Number(port), "127.0.0.1", () => console.log("ready"));
