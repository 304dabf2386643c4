// A real OpenID provider (the certified oidc-provider) on a port of its own, for the tests of logging in. What an attacker
// or a broken provider would do is done to its answers when a test says so:
//   POST /-/bend {"how": "nonce" | "issuer" | "audience" | "expired" | "none" | "foreign" | null}
//   POST /-/rotate   new signing keys from now on
// usage: node provider.mjs REDIRECT_URI; prints the issuer as its first line.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import * as jose from 'jose';

// Whoever reads the first line need not read more: a closed pipe must not end the provider.
console.log = console.info = console.error;
process.stdout.on('error', () => {});

const [redirect] = process.argv.slice(2);
let bend = null;
const groups = new Map();
let keys;
let provider;

async function fresh() {
  const made = await Promise.all(
    ['RS256', 'ES256'].map(async (alg) => {
      const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
      const jwk = await jose.exportJWK(privateKey);
      return { ...jwk, alg, use: 'sig', kid: `${alg}-${Math.random().toString(36).slice(2)}` };
    }),
  );
  return { keys: made };
}

function build(issuer) {
  const built = new Provider(issuer, {
    clients: ['RS256', 'ES256'].map((alg) => ({
      client_id: `callhome-${alg}`,
      client_secret: 'a/secret+with:odd &signs',
      redirect_uris: [redirect],
      id_token_signed_response_alg: alg,
    })),
    jwks: keys,
    cookies: { keys: ['only for tests'] },
    conformIdTokenClaims: false,
    claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups', 'locale'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `${id} 先生`, preferred_username: id, groups: groups.get(id), locale: 'en-GB' }),
    }),
    features: { devInteractions: { enabled: true } },
    pkce: { required: () => true },
  });
  built.on('server_error', (_, error) => console.error(error));
  return built;
}

async function bent(body) {
  const [header, payload, signature] = body.id_token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  const { alg, kid } = JSON.parse(Buffer.from(header, 'base64url'));
  if (bend === 'none') {
    const unsigned = Buffer.from('{"alg":"none"}').toString('base64url');
    return { ...body, id_token: `${unsigned}.${payload}.` };
  }
  if (bend === 'signature') {
    const other = Buffer.from(JSON.stringify({ ...claims, bent: true })).toString('base64url');
    return { ...body, id_token: `${header}.${other}.${signature}` };
  }
  if (bend === 'nonce') claims.nonce = 'of-another-log-in';
  if (bend === 'issuer') claims.iss = 'https://elsewhere.example';
  if (bend === 'audience') claims.aud = 'another-program';
  if (bend === 'expired') Object.assign(claims, { iat: claims.iat - 7200, exp: claims.iat - 3600 });
  // A key that is not among the provider's.
  const jwk = bend === 'foreign' ? (await fresh()).keys.find((key) => key.alg === alg) : keys.keys.find((key) => key.kid === kid);
  const key = await jose.importJWK(jwk, alg);
  const signed = await new jose.SignJWT(claims).setProtectedHeader({ alg, kid: jwk.kid }).sign(key);
  return { ...body, id_token: signed };
}

async function control(request, response) {
  let text = '';
  for await (const chunk of request) text += chunk;
  if (request.url === '/-/rotate') {
    keys = await fresh();
    use(provider.issuer);
  } else {
    bend = JSON.parse(text).how;
  }
  response.end('{}');
}

// What a person types holds the groups, too: "li.na:desk,other" is li.na, who is in these from now on.
async function enter(request, response) {
  let text = '';
  for await (const chunk of request) text += chunk;
  const form = Object.fromEntries(new URLSearchParams(text));
  const [name, list] = (form.login ?? '').split(':');
  if (form.prompt === 'login') groups.set(name, list?.split(',') ?? []);
  request.body = { ...form, login: name };
  callback(request, response);
}

function use(issuer) {
  provider = build(issuer);
  provider.use(async (context, next) => {
    await next();
    if (bend !== null && context.path === '/token' && context.body?.id_token) context.body = await bent(context.body);
  });
  callback = provider.callback();
}

let callback;
keys = await fresh();
const server = createServer((request, response) => {
  if (request.url.startsWith('/-/')) void control(request, response);
  else if (request.method === 'POST' && request.url.startsWith('/interaction/')) void enter(request, response);
  else callback(request, response);
});
server.listen(0, '127.0.0.1', () => {
  use(`http://127.0.0.1:${server.address().port}`);
  process.stdout.write(`${provider.issuer}\n`);
});
// Whoever started it is gone.
process.stdin.on('end', () => process.exit()).resume();
