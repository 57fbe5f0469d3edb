//! Lies in what a device sends to the service and to the edge, around evidence that may well be genuine.

use crate::hostile::attacks;

attacks! {
    /// A lie in the envelope of an enrolment or a renewal.
    EnrolmentAttack {
        RelayedEvidence Unverifiable "the evidence is of somebody else's genuine phone, for the same challenge",
        KeyOfSomebodyElse Unverifiable "the envelope carries the instance key of another phone and is signed by ours",
        OtherSessionKey Unverifiable "the session key was exchanged after its possession was proven",
        NoPossession Unverifiable "the possession of the session key is not proven",
        PossessionByOtherKey Unverifiable "the possession is proven by another session key",
        PossessionForOtherChallenge Unverifiable "the possession is proven for another challenge",
        AlteredChallenge Unverifiable "the challenge has one bit that the service did not give",
        OtherIssuer Unverifiable "envelope and evidence are for another service",
        EvidenceForOtherIssuer Unverifiable "the evidence is for another service, which relays it",
        EvidenceForOtherClient Unverifiable "the evidence is for another client_id",
        EvidenceForOtherChallenge Unverifiable "the evidence is for another challenge",
        EvidenceForOtherPurpose Unverifiable "the evidence of an enrolment stands in a renewal, or the other way round",
        NoEvidence Unverifiable "there is no evidence; at a renewal that lowers the tier at most",
        DuplicateEvidence Unverifiable "the same evidence stands twice",
        TwoPlatforms Unverifiable "there is evidence of two platforms",
        SignatureBit Unverifiable "one bit of the envelope's signature is flipped",
        TrailingBytes Unverifiable "bytes follow the envelope",
        Truncated Unverifiable "the envelope lacks its last byte",
        Oversized Unverifiable "the envelope is longer than 64 KiB",
    }
}

attacks! {
    /// A lie in the two header fields of a request.
    ProofAttack {
        OtherResource Unverifiable "the proof is for another resource",
        OtherMethod Unverifiable "the proof is for another method",
        OtherTarget Unverifiable "the proof is for another path",
        OtherQuery Unverifiable "the proof is for another query, or for one where there is none",
        OtherContent Unverifiable "the proof is for another body",
        OtherCredential Unverifiable "the proof is for another access token",
        NoCredential Unverifiable "the proof does not cover the access token of the request",
        OtherResult Unverifiable "the proof is for another result",
        OtherSessionKey Unverifiable "the proof is signed by another session key",
        Old Unverifiable "the proof is an hour old",
        FromTheFuture Unverifiable "the proof is of an hour to come",
        OtherNonce Unverifiable "the nonce is not the edge's",
        ShortTokenId Unverifiable "the proof's identifier has eight bytes",
        SignatureBit Unverifiable "one bit of the proof's signature is flipped",
        TrailingBytes Unverifiable "a byte follows the proof",
        Truncated Unverifiable "the proof lacks its last byte",
        PaddedBase64 Unverifiable "the proof's base64url is padded",
        ResultAsProof Unverifiable "the result stands in the place of the proof",
        ProofAsResult Unverifiable "the proof stands in the place of the result",
        ResultSignatureBit Unverifiable "one bit of the result's signature is flipped",
        SelfIssuedResult Unverifiable "the result names another instance key and is signed by the session key, under the service's kid",
    }
}
