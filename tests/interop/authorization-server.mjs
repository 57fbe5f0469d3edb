// oidc-provider as authorization server, with attestation-based client authentication.
//
// Prints its issuer as one line of JSON, then reads one: { attester, jwksUri }, the attestation service that it trusts.
// Every refusal is a line of JSON: what a client is not told. Ends with its standard input.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { createRemoteJWKSet, exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const { RESOURCE: resource, ATTESTED_CLIENTS: attestedClients } = process.env;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const input = createInterface({ input: process.stdin });
const attester = once(input, 'line').then(([line]) => JSON.parse(line));
const attesterKeys = attester.then(({ jwksUri }) => createRemoteJWKSet(new URL(jwksUri)));
input.on('close', () => process.exit(0));

const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const client = (client_id, token_endpoint_auth_method) => ({
  client_id,
  token_endpoint_auth_method,
  application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token'],
  redirect_uris: ['com.example.app:/login'],
  dpop_bound_access_tokens: true,
});
const methods = { pop: 'attest_jwt_client_auth', dpop: 'attest_jwt_client_auth_dpop' };

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: 'login', use: 'sig', alg: 'ES256' }] },
  clients: JSON.parse(attestedClients).map(([id, mode]) => client(id, methods[mode])),
  clientAuthMethods: Object.values(methods),
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  enabledJWA: { attestSigningAlgValues: ['ES256'], dPoPSigningAlgValues: ['ES256'] },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  // A user who logs in and agrees at once.
  interactions: { url: (_, interaction) => `/login/${interaction.uid}` },
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  cookies: { keys: ['interop'] },
  // How long things live; said, so that nothing is printed about it.
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 60, RefreshToken: 600, Session: 600 },
  features: {
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'read pay',
        audience: resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
    attestClientAuth: {
      enabled: true,
      ack: 'draft-12',
      challengeSecret: Buffer.alloc(32, 9),
      async getAttestationSignaturePublicKey(_, header, payload) {
        const { attester: trusted } = await attester;
        if (payload.iss !== trusted) throw new Error('an attestation service that is not trusted');
        return (await attesterKeys)(header);
      },
      async assertAttestationJwtAndPop() {},
    },
  },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/login/')) return next();
  const { params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  const accountId = session?.accountId ?? 'alice';
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  grant.addResourceScope(resource, 'read pay');
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  return provider.interactionFinished(ctx.req, ctx.res, result);
});

const refused = (event) => (_, error) =>
  say({ event, error: error.error, description: error.error_description, detail: error.error_detail ?? error.cause?.message });
for (const event of ['grant.error', 'authorization.error', 'server_error']) provider.on(event, refused(event));

server.on('request', provider.callback());
say({ issuer });
