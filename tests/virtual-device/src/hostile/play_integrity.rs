//! Play Integrity tokens that must not be believed.

use serde_json::{Value, json};

use crate::{
    hostile::attacks,
    play_integrity::{TokenParts, base64url},
};

attacks! {
    /// A lie in a Play Integrity token, or a verdict that is true and bad. Those about the payload alone can also
    /// come out of Google's decode call.
    PlayIntegrityAttack {
        OtherWrappingKey Unverifiable "the content key is wrapped with another key",
        OtherSigner Unverifiable "the verdict is signed by another key",
        SignatureBit Unverifiable "one bit of the verdict's signature is flipped",
        DerSignature Unverifiable "the verdict's signature is DER",
        ZeroSignature Unverifiable "the verdict's signature is all zeros",
        NoSignature Unverifiable "the verdict's signature is empty",
        AlgNone Unverifiable "the verdict is unsigned, alg none",
        AlgNoneByCase Unverifiable "the verdict is unsigned, alg noNE",
        AlgHs256 Unverifiable "the verdict says HS256",
        AlgEs384 Unverifiable "the verdict says ES384",
        VerdictCritical Unverifiable "the verdict's header has crit",
        VerdictDuplicateAlg Unverifiable "the verdict's header has alg twice",
        EmbeddedKey Unverifiable "the verdict brings the key along that it is signed with",
        BareVerdict Unverifiable "the signed verdict stands without encryption",
        Direct Unverifiable "alg is dir and there is no encrypted key",
        DirectWithKey Unverifiable "alg is dir, everything else as it should be",
        SmallerWrapping Unverifiable "alg is A128KW",
        GcmWrapping Unverifiable "alg is A256GCMKW with iv and tag of its own",
        PasswordWrapping Unverifiable "alg is PBES2 with two thousand million rounds",
        PasswordRounds Unverifiable "p2c of two thousand million rounds stands beside A256KW",
        EphemeralKey Unverifiable "epk stands beside A256KW",
        CbcEncryption Unverifiable "enc is A256CBC-HS512",
        SmallerEncryption Unverifiable "enc is A128GCM",
        AlgByCase Unverifiable "alg is a256kw",
        AlgIsNumber Unverifiable "alg is a number",
        NoAlg Unverifiable "the header has no alg",
        NoEnc Unverifiable "the header has no enc",
        Zip Unverifiable "zip is DEF",
        Critical Unverifiable "the header has crit",
        DuplicateAlg Unverifiable "the header has alg twice",
        HeaderIsList Unverifiable "the header is a list",
        HeaderRewritten Unverifiable "the header says the same with a space more, after encryption",
        FourParts Unverifiable "the tag is missing",
        SixParts Unverifiable "there is a sixth part",
        EmptyCiphertext Unverifiable "the ciphertext is empty",
        JsonSerialisation Unverifiable "the token is JSON",
        PaddedPart Unverifiable "a part is padded",
        TrailingBits Unverifiable "the tag has non-zero trailing bits",
        LeadingSpace Unverifiable "a space stands before the token",
        WrappedKeyBit Unverifiable "one bit of the wrapped key is flipped",
        VectorBit Unverifiable "one bit of the initialization vector is flipped",
        CiphertextBit Unverifiable "one bit of the ciphertext is flipped",
        TagBit Unverifiable "one bit of the tag is flipped",
        ShortTag Unverifiable "the tag has 12 bytes",
        LongVector Unverifiable "the initialization vector has 16 bytes",
        ShortKey Unverifiable "the wrapped key has 32 bytes",
        Oversized Unverifiable "the token is longer than 16 KiB",
        PayloadNotJson Unverifiable "the payload is not JSON",
        PayloadIsList Unverifiable "the payload is a list",
        PayloadDuplicateMember Unverifiable "the payload has deviceIntegrity twice",
        PayloadTrailingData Unverifiable "something follows the payload",
        PayloadTooDeep Unverifiable "the payload is nested a hundred times",
        NoRequestDetails Unverifiable "there are no requestDetails",
        NoRequestPackage Unverifiable "requestPackageName is missing",
        NoTime Unverifiable "timestampMillis is missing",
        NegativeTime Unverifiable "timestampMillis is negative",
        FractionalTime Unverifiable "timestampMillis is a fraction",
        SignedTime Unverifiable "timestampMillis begins with a plus",
        EmptyTime Unverifiable "timestampMillis is empty",
        OverflowingTime Unverifiable "timestampMillis does not fit 64 bits",
        HugeTime Unverifiable "timestampMillis is the last that fits 64 bits",
        Unbound Unverifiable "neither requestHash nor nonce is there",
        OtherBinding Unverifiable "the binding is of another challenge",
        EmptyBinding Unverifiable "the binding is empty",
        BindingPrefix Unverifiable "the binding lacks its last character",
        SecondBinding Unverifiable "nonce and requestHash are there, one of them of another challenge",
        BindingIsNumber Unverifiable "the binding is a number",
        Stale Unverifiable "the token is an hour old",
        FromTheFuture Unverifiable "the token is of an hour to come",
        TestingResponse Unverifiable "it is a response for testing",
        TestingIsText Unverifiable "isTestingResponse is text",
        VerdictIsText Unverifiable "deviceRecognitionVerdict is text instead of a list",
        DeviceIsList Unverifiable "deviceIntegrity is a list",
        DigestIsShort Unverifiable "a certificate digest has 31 bytes",
        OverlongList Unverifiable "there are a thousand device verdicts",
        OtherPackage Contraindicated "the app is another package",
        OtherRequestPackage Contraindicated "the token was requested for another package",
        OtherAppPackage Contraindicated "the evaluated app is another package than was requested",
        OtherCertificate Contraindicated "the app is signed by somebody else",
        ExtraCertificate Contraindicated "the app is also signed by somebody else",
        NoCertificate Contraindicated "the app has no certificate digest",
        UnrecognizedVersion Contraindicated "Google Play does not know the app",
        AppUnevaluated Contraindicated "the app was not evaluated",
        AppVerdictUnknown Contraindicated "the app's verdict is a word that nobody knows",
        NoAppIntegrity Contraindicated "there is no appIntegrity",
        NoDeviceVerdict Contraindicated "deviceIntegrity is empty, as for a rooted phone",
        NoDeviceIntegrity Contraindicated "there is no deviceIntegrity",
        BasicOnly Contraindicated "the device meets basic integrity only",
        VirtualIntegrity Contraindicated "the device is an emulator with Google Play",
        DeviceVerdictUnknown Contraindicated "the device's verdict is a word that nobody knows",
        DeviceVerdictByCase Contraindicated "the device's verdict is in lower case",
        StrongOfOldAndroid BelowMinimum "strong integrity of Android 12, which says nothing of security updates",
        Unlicensed BelowMinimum "the user did not get the app from Google Play",
        LicenceUnevaluated BelowMinimum "the licence was not evaluated",
        DangerousApps BelowMinimum "Play Protect found dangerous apps",
        ControllingApp BelowMinimum "an unknown app can control the device",
        BusyDevice BelowMinimum "the device asks for very many tokens",
    }
}

impl PlayIntegrityAttack {
    /// Changes the payload before it is signed.
    pub(crate) fn payload(self, payload: &mut Value) {
        let request = |payload: &mut Value, name: &str, value: Value| payload["requestDetails"][name] = value;
        let binding = if payload["requestDetails"]["nonce"].is_null() { "requestHash" } else { "nonce" };
        let remove = |value: &mut Value, name: &str| {
            value.as_object_mut().and_then(|members| members.remove(name));
        };
        let hour = 3_600_000;
        let millis: i64 = payload["requestDetails"]["timestampMillis"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let others = base64url(&[0x0d; 32]);
        match self {
            Self::NoRequestDetails => remove(payload, "requestDetails"),
            Self::NoRequestPackage => remove(&mut payload["requestDetails"], "requestPackageName"),
            Self::NoTime => remove(&mut payload["requestDetails"], "timestampMillis"),
            Self::NegativeTime => request(payload, "timestampMillis", json!("-1")),
            Self::FractionalTime => request(payload, "timestampMillis", json!(millis as f64 + 0.5)),
            Self::SignedTime => request(payload, "timestampMillis", json!(format!("+{millis}"))),
            Self::EmptyTime => request(payload, "timestampMillis", json!("")),
            Self::OverflowingTime => request(payload, "timestampMillis", json!("18446744073709551616")),
            Self::HugeTime => request(payload, "timestampMillis", json!("18446744073709551615")),
            Self::Stale => request(payload, "timestampMillis", json!((millis - hour).to_string())),
            Self::FromTheFuture => request(payload, "timestampMillis", json!((millis + hour).to_string())),
            Self::Unbound => remove(&mut payload["requestDetails"], binding),
            Self::OtherBinding => request(payload, binding, json!(others)),
            Self::EmptyBinding => request(payload, binding, json!("")),
            Self::BindingIsNumber => request(payload, binding, json!(7)),
            Self::BindingPrefix => {
                let mut text = payload["requestDetails"][binding].as_str().unwrap_or_default().to_owned();
                text.pop();
                request(payload, binding, json!(text));
            }
            Self::SecondBinding => {
                let second = if binding == "nonce" { "requestHash" } else { "nonce" };
                request(payload, second, json!(others));
            }
            Self::TestingResponse => payload["testingDetails"] = json!({"isTestingResponse": true}),
            Self::TestingIsText => payload["testingDetails"] = json!({"isTestingResponse": "false"}),
            _ => self.verdicts(payload),
        }
    }

    fn verdicts(self, payload: &mut Value) {
        let device = |verdicts: &[&str]| json!({"deviceRecognitionVerdict": verdicts});
        let other_digest = base64url(&[0x5e; 32]);
        match self {
            Self::VerdictIsText => {
                payload["deviceIntegrity"]["deviceRecognitionVerdict"] = json!("MEETS_DEVICE_INTEGRITY");
            }
            Self::DeviceIsList => payload["deviceIntegrity"] = json!(["MEETS_DEVICE_INTEGRITY"]),
            Self::DigestIsShort => {
                payload["appIntegrity"]["certificateSha256Digest"] = json!([base64url(&[0x5e; 31])]);
            }
            Self::OverlongList => {
                payload["deviceIntegrity"] = device(&["MEETS_DEVICE_INTEGRITY"; 200]);
            }
            Self::OtherPackage => {
                payload["requestDetails"]["requestPackageName"] = json!("com.example.other");
                payload["appIntegrity"]["packageName"] = json!("com.example.other");
            }
            Self::OtherRequestPackage => {
                payload["requestDetails"]["requestPackageName"] = json!("com.example.other");
            }
            Self::OtherAppPackage => payload["appIntegrity"]["packageName"] = json!("com.example.other"),
            Self::OtherCertificate => {
                payload["appIntegrity"]["certificateSha256Digest"] = json!([other_digest]);
            }
            Self::ExtraCertificate => {
                if let Some(digests) = payload["appIntegrity"]["certificateSha256Digest"].as_array_mut() {
                    digests.push(json!(other_digest));
                }
            }
            Self::NoCertificate => payload["appIntegrity"]["certificateSha256Digest"] = json!([]),
            Self::UnrecognizedVersion => {
                payload["appIntegrity"]["appRecognitionVerdict"] = json!("UNRECOGNIZED_VERSION");
            }
            Self::AppUnevaluated => {
                payload["appIntegrity"] = json!({"appRecognitionVerdict": "UNEVALUATED"});
            }
            Self::AppVerdictUnknown => payload["appIntegrity"]["appRecognitionVerdict"] = json!("PLAY_LIKED"),
            Self::NoAppIntegrity => payload["appIntegrity"] = Value::Null,
            Self::NoDeviceVerdict => payload["deviceIntegrity"] = json!({}),
            Self::NoDeviceIntegrity => payload["deviceIntegrity"] = Value::Null,
            Self::BasicOnly => payload["deviceIntegrity"] = device(&["MEETS_BASIC_INTEGRITY"]),
            Self::VirtualIntegrity => payload["deviceIntegrity"] = device(&["MEETS_VIRTUAL_INTEGRITY"]),
            Self::DeviceVerdictUnknown => payload["deviceIntegrity"] = device(&["MEETS_EVERY_INTEGRITY"]),
            Self::DeviceVerdictByCase => payload["deviceIntegrity"] = device(&["meets_device_integrity"]),
            Self::StrongOfOldAndroid => {
                payload["deviceIntegrity"]["deviceAttributes"] = json!({"sdkVersion": 31});
            }
            Self::Unlicensed => payload["accountDetails"] = json!({"appLicensingVerdict": "UNLICENSED"}),
            Self::LicenceUnevaluated => {
                payload["accountDetails"] = json!({"appLicensingVerdict": "UNEVALUATED"});
            }
            Self::DangerousApps => payload["environmentDetails"]["playProtectVerdict"] = json!("HIGH_RISK"),
            Self::ControllingApp => {
                payload["environmentDetails"]["appAccessRiskVerdict"] =
                    json!({"appsDetected": ["KNOWN_INSTALLED", "UNKNOWN_CONTROLLING"]});
            }
            Self::BusyDevice => {
                payload["deviceIntegrity"]["recentDeviceActivity"] =
                    json!({"deviceActivityLevel": "LEVEL_4"});
            }
            _ => {}
        }
    }

    /// Changes the payload's JSON before it is signed.
    pub(crate) fn json(self, json: String) -> String {
        match self {
            Self::PayloadNotJson => "integrity: good".to_owned(),
            Self::PayloadIsList => format!("[{json}]"),
            Self::PayloadTrailingData => format!("{json}{{}}"),
            Self::PayloadDuplicateMember => json.replacen(
                '{',
                r#"{"deviceIntegrity":{"deviceRecognitionVerdict":["MEETS_STRONG_INTEGRITY"]},"#,
                1,
            ),
            Self::PayloadTooDeep => {
                json.replacen('{', &format!(r#"{{"extra":{}{},"#, "[".repeat(100), "]".repeat(100)), 1)
            }
            _ => json,
        }
    }

    /// The header of the signed verdict.
    pub(crate) const fn signed_header(self) -> &'static str {
        match self {
            Self::AlgNone => r#"{"alg":"none"}"#,
            Self::AlgNoneByCase => r#"{"alg":"noNE"}"#,
            Self::AlgHs256 => r#"{"alg":"HS256"}"#,
            Self::AlgEs384 => r#"{"alg":"ES384"}"#,
            Self::VerdictCritical => r#"{"alg":"ES256","crit":["exp"]}"#,
            Self::VerdictDuplicateAlg => r#"{"alg":"ES256","alg":"ES256"}"#,
            Self::EmbeddedKey => {
                r#"{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}"#
            }
            _ => r#"{"alg":"ES256"}"#,
        }
    }

    /// The header of the encryption.
    pub(crate) const fn encryption_header(self) -> &'static str {
        match self {
            Self::Direct | Self::DirectWithKey => r#"{"alg":"dir","enc":"A256GCM"}"#,
            Self::SmallerWrapping => r#"{"alg":"A128KW","enc":"A256GCM"}"#,
            Self::GcmWrapping => {
                r#"{"alg":"A256GCMKW","enc":"A256GCM","iv":"AAAAAAAAAAAAAAAA","tag":"AAAAAAAAAAAAAAAAAAAAAA"}"#
            }
            Self::PasswordWrapping => {
                r#"{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2s":"c2FsdHNhbHQ","p2c":2000000000}"#
            }
            Self::PasswordRounds => {
                r#"{"alg":"A256KW","enc":"A256GCM","p2s":"c2FsdHNhbHQ","p2c":2000000000}"#
            }
            Self::EphemeralKey => r#"{"alg":"A256KW","enc":"A256GCM","epk":{}}"#,
            Self::CbcEncryption => r#"{"alg":"A256KW","enc":"A256CBC-HS512"}"#,
            Self::SmallerEncryption => r#"{"alg":"A256KW","enc":"A128GCM"}"#,
            Self::AlgByCase => r#"{"alg":"a256kw","enc":"A256GCM"}"#,
            Self::AlgIsNumber => r#"{"alg":5,"enc":"A256GCM"}"#,
            Self::NoAlg => r#"{"enc":"A256GCM"}"#,
            Self::NoEnc => r#"{"alg":"A256KW"}"#,
            Self::Zip => r#"{"alg":"A256KW","enc":"A256GCM","zip":"DEF"}"#,
            Self::Critical => r#"{"alg":"A256KW","enc":"A256GCM","crit":["exp"],"exp":1}"#,
            Self::DuplicateAlg => r#"{"alg":"dir","alg":"A256KW","enc":"A256GCM"}"#,
            Self::HeaderIsList => r#"["A256KW","A256GCM"]"#,
            _ => r#"{"alg":"A256KW","enc":"A256GCM"}"#,
        }
    }

    /// Changes the signature of the verdict.
    pub(crate) fn signature(self, mut signature: Vec<u8>, der: Vec<u8>) -> Vec<u8> {
        match self {
            Self::SignatureBit => super::iphone::flip_last_bit(&mut signature),
            Self::DerSignature => return der,
            Self::ZeroSignature | Self::AlgNone | Self::AlgNoneByCase => signature.fill(0),
            Self::NoSignature => signature.clear(),
            _ => {}
        }
        signature
    }

    /// Changes the parts of the finished token.
    pub(crate) fn parts(self, parts: &mut TokenParts) {
        let flip = super::iphone::flip_last_bit;
        match self {
            Self::WrappedKeyBit => flip(&mut parts.encrypted_key),
            Self::VectorBit => flip(&mut parts.vector),
            Self::CiphertextBit => flip(&mut parts.ciphertext),
            Self::TagBit => flip(&mut parts.tag),
            Self::ShortTag => parts.tag.truncate(12),
            Self::LongVector => parts.vector.extend([0; 4]),
            Self::ShortKey => parts.encrypted_key.truncate(32),
            Self::Direct => parts.encrypted_key.clear(),
            Self::EmptyCiphertext => parts.ciphertext.clear(),
            Self::HeaderRewritten => parts.header = r#"{"alg": "A256KW","enc":"A256GCM"}"#.to_owned(),
            _ => {}
        }
    }

    /// Changes the token's text.
    pub(crate) fn text(self, token: String, signed: &str) -> String {
        match self {
            Self::BareVerdict => signed.to_owned(),
            Self::FourParts => token.rsplit_once('.').map_or(String::new(), |(four, _)| four.to_owned()),
            Self::SixParts => format!("{token}.AAAA"),
            Self::PaddedPart => token.replacen('.', "==.", 1),
            Self::LeadingSpace => format!(" {token}"),
            Self::Oversized => format!("{token}{}", "A".repeat(16 * 1024)),
            // The tag's 16 bytes leave four bits over, which are zero in the one right text.
            Self::TrailingBits => {
                let mut text = token;
                let last = match text.pop() {
                    Some('A') => 'B',
                    Some('Q') => 'R',
                    Some('g') => 'h',
                    _ => 'x',
                };
                text.push(last);
                text
            }
            Self::JsonSerialisation => {
                let parts: Vec<&str> = token.split('.').collect();
                match parts.as_slice() {
                    [header, key, vector, ciphertext, tag] => json!({
                        "protected": header, "encrypted_key": key, "iv": vector,
                        "ciphertext": ciphertext, "tag": tag,
                    })
                    .to_string(),
                    _ => token,
                }
            }
            _ => token,
        }
    }

    /// Whether it is a lie in the payload alone, which a token that Google decodes can have too.
    pub fn is_in_the_payload(self) -> bool {
        let marker = json!({
            "requestDetails": {"requestPackageName": "p", "nonce": "n", "timestampMillis": "7200000"},
            "appIntegrity": {"packageName": "p", "certificateSha256Digest": []},
            "deviceIntegrity": {}, "accountDetails": {}, "environmentDetails": {},
        });
        let mut changed = marker.clone();
        self.payload(&mut changed);
        changed != marker || matches!(self, Self::NoCertificate | Self::NoDeviceVerdict)
    }
}
