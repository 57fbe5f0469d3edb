// openid-client as the app's OAuth client: our attestation in a header field is all that it has to be told. Its own
// DPoP proofs authenticate it at oidc-provider (combined mode), and at our edge behind nginx.
//
// In: { resource, issuer, clientId, refreshToken, attestations: { server, resource }, key }, the key being the phone's as
// a private JWK. Out: { status, nonceStatus, refused, theft }.
import { text } from 'node:stream/consumers';
import * as jose from 'jose';
import * as oauth from 'openid-client';

const { resource, issuer, clientId, refreshToken, attestations, key } = JSON.parse(await text(process.stdin));
const { d: _, ...publicPart } = key;
const keyPair = {
  privateKey: await jose.importJWK(key, 'ES256'),
  publicKey: await jose.importJWK(publicPart, 'ES256', { extractable: true }),
};

const attested = (_, client, body, headers) => {
  body.set('client_id', client.client_id);
  headers.set('oauth-client-attestation', attestations.server);
};
const options = { execute: [oauth.allowInsecureRequests] };
const config = await oauth.discovery(new URL(issuer), clientId, undefined, attested, options);
const tokens = await oauth.refreshTokenGrant(config, refreshToken, undefined, { DPoP: oauth.getDPoPHandle(config, keyPair) });
if (tokens.token_type !== 'dpop') throw new Error(`a token of type ${tokens.token_type}`);

const fetched = (path, pair = keyPair) => {
  const headers = new Headers({ 'oauth-client-attestation': attestations.resource });
  const DPoP = oauth.getDPoPHandle(config, pair);
  return oauth.fetchProtectedResource(config, tokens.access_token, new URL(path, resource), 'GET', undefined, headers, { DPoP });
};
const { status } = await fetched('/v1/account');
// It answers the demand for a nonce by itself.
const { status: nonceStatus } = await fetched('/v1/nonce');
const stranger = await oauth.randomDPoPKeyPair('ES256');
const refused = await fetched('/v1/account', stranger).then(() => null, (error) => error.status ?? error.cause?.status);

// The same refresh by another key has to fail, whoever holds the attestation.
const theft = await oauth
  .refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: oauth.getDPoPHandle(config, stranger) })
  .then(() => null, ({ error }) => error);
console.log(JSON.stringify({ status, nonceStatus, refused, theft }));
