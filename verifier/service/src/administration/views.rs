//! What an administrator is shown of the registry, as JSON: no token, no key beyond thumbprints, no digest of a
//! secret.

use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::PlatformKey;
use serde_json::{Value, json};

use crate::commands::inspect::rfc3339;
use crate::store::{Act, AdminKeyRecord, DevelopmentKeyRecord, InstanceRecord, InstanceRows, SubjectBan};

/// An instance.
pub(crate) fn instance(record: &InstanceRecord) -> Value {
    let registered = &record.registered;
    let platform = match &registered.platform_key {
        PlatformKey::AppAttest { counter, .. } => json!({ "kind": "app-attest", "counter": counter }),
        PlatformKey::AndroidKey => json!({ "kind": "android-key" }),
        PlatformKey::PlayIntegrity => json!({ "kind": "play-integrity" }),
        PlatformKey::DevelopmentKey => json!({ "kind": "development-key" }),
    };
    json!({
        "instance": registered.id.to_base64url(),
        "client_id": registered.client_id,
        "banned": record.banned,
        "ban": record.ban.as_ref().map(|ban| json!({ "since": seconds(ban.since), "reason": ban.reason })),
        "withdrawn": record.withdrawn.as_ref().map(|withdrawal| json!({
            "since": seconds(withdrawal.since), "reasons": withdrawal.reasons,
        })),
        "instance_jkt": registered.instance_key.thumbprint().to_base64url(),
        "platform_key": platform,
        "protection": registered.protection,
        "vouched_by": registered.vouched_by,
        "tier": registered.trustworthiness.tier,
        "trust_vector": registered.trustworthiness.trust_vector,
        "labels": registered.trustworthiness.labels,
        "evidence_time": seconds(registered.evidence_time),
        "app_version": record.app_version,
        "created": seconds(record.created),
        "updated": seconds(record.updated),
    })
}

/// A banned user.
pub(crate) fn subject_ban(ban: &SubjectBan) -> Value {
    json!({
        "id": base64url(ban.digest.as_bytes()),
        "issuer": ban.issuer,
        "subject": ban.subject,
        "reason": ban.reason,
        "banned": seconds(ban.banned),
    })
}

/// An admin key.
pub(crate) fn admin_key(key: &AdminKeyRecord, now: Timestamp) -> Value {
    json!({
        "name": key.name,
        "standing": standing(key.revoked, key.expires, now),
        "created": seconds(key.created),
        "expires": key.expires.map(seconds),
        "revoked": key.revoked.map(seconds),
    })
}

/// A development key.
pub(crate) fn development_key(key: &DevelopmentKeyRecord, now: Timestamp) -> Value {
    json!({
        "id": key.id,
        "standing": standing(key.revoked, Some(key.expires), now),
        "jkt": key.public_key.thumbprint().to_base64url(),
        "client_ids": key.client_ids,
        "created": seconds(key.created),
        "expires": seconds(key.expires),
        "revoked": key.revoked.map(seconds),
    })
}

/// An administrative act.
pub(crate) fn act(act: &Act) -> Value {
    json!({
        "number": act.number,
        "time": seconds(act.time),
        "actor": act.actor,
        "action": act.action,
        "object": act.object,
        "detail": act.detail,
    })
}

/// A page of `entries`, called `name`, and where the next one begins: none follows a page that is not full.
pub(crate) fn page(name: &str, entries: Vec<Value>, limit: u32, last: Option<String>) -> Value {
    let next = last.filter(|_| entries.len() as u64 >= u64::from(limit));
    json!({ name: entries, "next": next })
}

/// As [`page`], of which `unreadable` ones can only be named: they take room on it as well.
pub(crate) fn page_of_readable(
    name: &str,
    entries: Vec<Value>,
    unreadable: Vec<String>,
    limit: u32,
    last: Option<String>,
) -> Value {
    let all = (entries.len() + unreadable.len()) as u64;
    let next = last.filter(|_| all >= u64::from(limit));
    json!({ name: entries, "unreadable": unreadable, "next": next })
}

/// A page of instances.
pub(crate) fn page_of_instances(rows: &InstanceRows, limit: u32) -> Value {
    let unreadable = rows.unreadable.iter().map(InstanceId::to_base64url).collect();
    let last = rows.last.map(|id| id.to_base64url());
    page_of_readable("instances", rows.records.iter().map(instance).collect(), unreadable, limit, last)
}

/// Whether a key is good, in one word.
pub(crate) fn standing(
    revoked: Option<Timestamp>,
    expires: Option<Timestamp>,
    now: Timestamp,
) -> &'static str {
    match (revoked, expires) {
        (Some(_), _) => "revoked",
        (None, Some(expires)) if now >= expires => "expired",
        _ => "good",
    }
}

/// A time for people.
pub(crate) fn when(time: Timestamp) -> String {
    rfc3339(time).unwrap_or_else(|| time.as_unix_seconds().to_string())
}

const fn seconds(time: Timestamp) -> u64 {
    time.as_unix_seconds()
}
