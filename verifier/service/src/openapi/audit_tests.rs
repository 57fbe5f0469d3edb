//! Each rule with what it finds and what it leaves alone.

use super::*;

fn audit_allowing(paths: &str, allowed: &[&str]) -> Audit {
    let text = format!(
        "openapi: 3.1.0\nx-attestation: {{}}\npaths:\n{paths}\ncomponents:\n  securitySchemes:\n    \
         login: {{type: oauth2, flows: {{}}}}\n    basic: {{type: http, scheme: basic}}\n"
    );
    let allowed: Vec<Allowance> = allowed.iter().map(|text| text.parse().unwrap()).collect();
    Audit::of_document(ApiDocument::parse("api.yaml", &text).unwrap(), None, &allowed)
}

/// What is found, as `RULE METHOD PATH`.
fn found(paths: &str) -> Vec<String> {
    let place = |finding: &Finding| {
        let place = finding.method.zip(finding.path.as_deref());
        format!(
            "{} {}",
            finding.rule.name(),
            place.map_or(String::new(), |(method, path)| format!("{method} {path}"))
        )
    };
    audit_allowing(paths, &[]).findings.iter().map(place).collect()
}

const LOGIN: &str = "security: [{login: [a]}]";

#[test]
fn an_operation_without_authentication_is_found() {
    assert_eq!(found("  /a: {get: {}}"), ["authentication_unstated GET /a"]);
    assert_eq!(found("  /a: {get: {security: []}}"), ["authentication_none GET /a"]);
    assert_eq!(found("  /a: {get: {security: [{}, {login: []}]}}"), ["authentication_optional GET /a"]);
    assert!(found(&format!("  /a: {{get: {{{LOGIN}}}}}")).is_empty());
}

#[test]
fn an_operation_without_attestation_is_found() {
    let text = |extension: &str| {
        format!(
            "openapi: 3.1.0\npaths: {{/a: {{get: {{security: [{{l: []}}]{extension}}}}}}}\ncomponents: {{securitySchemes: {{l: {{type: oauth2}}}}}}\n"
        )
    };
    let rules = |extension: &str| {
        let document = ApiDocument::parse("api.yaml", &text(extension)).unwrap();
        Audit::of_document(document, None, &[])
            .findings
            .iter()
            .map(|finding| finding.rule)
            .collect::<Vec<_>>()
    };
    assert_eq!(rules(""), [Rule::AttestationUnstated]);
    assert_eq!(rules(", x-attestation: {audit: {accept: [danger], why: x}}"), [Rule::AttestationUnstated]);
    assert_eq!(rules(", x-attestation: {}"), []);
    assert_eq!(rules(", x-attestation: {tier: affirming}"), []);
}

#[test]
fn a_mode_that_refuses_nobody_is_found() {
    for mode in ["observe", "warn"] {
        let paths = format!("  /a: {{get: {{{LOGIN}, x-attestation: {{mode: {mode}}}}}}}");
        assert_eq!(found(&paths), ["attestation_not_enforced GET /a"], "{mode}");
    }
    assert!(found(&format!("  /a: {{get: {{{LOGIN}, x-attestation: {{mode: require}}}}}}")).is_empty());
}

#[test]
fn a_body_that_proofs_need_not_cover_is_found() {
    let paths = |members: &str| format!("  /a: {{post: {{{LOGIN}, {members}}}}}");
    assert_eq!(found(&paths("requestBody: {}")), ["body_unbound POST /a"]);
    assert!(found(&paths("requestBody: {}, x-attestation: {body: required}")).is_empty());
    assert!(found(&paths("responses: {}")).is_empty(), "it has no body");
}

#[test]
fn a_deletion_without_scopes_beside_operations_with_them_is_found() {
    let paths = |scopes: &str| {
        format!(
            "  /a/{{id}}: {{get: {{{LOGIN}}}, delete: {{security: [{{login: [{scopes}]}}]}}}}\n  /b: {{delete: {{security: [{{login: []}}]}}}}"
        )
    };
    assert_eq!(found(&paths("")), ["scopes_missing DELETE /a/{id}"]);
    assert!(found(&paths("a")).is_empty());
}

#[test]
fn a_write_that_demands_less_than_a_read_beside_it_is_found() {
    for (strict, lax) in [
        ("tier: affirming", "tier: warning"),
        ("assurance: hardware", "assurance: session"),
        ("nonce: required", "nonce: offered"),
        ("token_binding: instance", "token_binding: first_use"),
        ("protection: [tee]", "protection: []"),
        ("max_evidence_age: 5m", "max_evidence_age: 10m"),
        ("max_evidence_age: 5m", "tier: affirming"),
    ] {
        let paths = |get: &str, post: &str, at: &str| {
            format!(
                "  /pay: {{get: {{{LOGIN}, x-attestation: {{{get}}}}}}}\n  {at}: {{post: {{{LOGIN}, x-attestation: {{{post}}}}}}}"
            )
        };
        for at in ["/pay/refund", "/pay/{id}"] {
            assert_eq!(
                found(&paths(strict, lax, at)),
                [format!("weaker_than_neighbour POST {at}")],
                "{strict} {lax}"
            );
            assert!(found(&paths(strict, strict, at)).is_empty(), "{strict}");
            assert!(found(&paths(lax, strict, at)).is_empty(), "{strict}: reads may ask for less");
        }
        assert!(found(&paths(strict, lax, "/payments")).is_empty(), "no neighbour");
    }
}

#[test]
fn operations_of_one_tag_are_neighbours() {
    let paths = |tag: &str| {
        format!(
            "  /a: {{get: {{tags: [money], {LOGIN}, x-attestation: {{assurance: hardware}}}}}}\n  /b: {{put: {{tags: [{tag}], {LOGIN}}}}}"
        )
    };
    assert_eq!(found(&paths("money")), ["weaker_than_neighbour PUT /b"]);
    assert!(found(&paths("pets")).is_empty());
}

#[test]
fn danger_words_are_found() {
    let paths = |word: &str| format!("  /a: {{get: {{{LOGIN}, x-attestation: {{{word}}}}}}}");
    for word in
        ["danger_unbound_pop: true", "danger_unbound_query: true", "token_binding: danger_client_only"]
    {
        assert_eq!(found(&paths(word)), ["danger GET /a"], "{word}");
    }
    assert!(found(&paths("danger_unbound_pop: false")).is_empty());
}

#[test]
fn what_no_resource_could_use_is_found_with_its_line() {
    let audit = audit_allowing("  /a: {get: {security: [{basic: []}]}}", &[]);
    let unusable = audit.findings.iter().find(|finding| finding.rule == Rule::Unusable).unwrap();
    assert!(unusable.message.contains("passwords") && unusable.line == Some(8), "{unusable:?}");
}

#[test]
fn what_is_accepted_with_a_reason_is_told_apart_and_nothing_else_is() {
    let paths = "  /a: {get: {security: [], x-attestation: {mode: warn, audit: {accept: [authentication_none], why: public}}}}\n  /b: {get: {security: []}}";
    let audit = audit_allowing(paths, &[]);
    assert_eq!(audit.accepted.len(), 1);
    assert_eq!(audit.accepted[0].why.as_deref(), Some("public"));
    let left: Vec<_> = audit.findings.iter().map(|finding| (finding.rule, finding.path.as_deref())).collect();
    assert_eq!(left, [(Rule::AttestationNotEnforced, Some("/a")), (Rule::AuthenticationNone, Some("/b"))]);
}

#[test]
fn the_command_line_allows_a_rule_everywhere_or_for_one_operation() {
    let paths = "  /a: {get: {security: []}}\n  /b: {get: {security: []}}";
    assert!(audit_allowing(paths, &["authentication_none"]).findings.is_empty());
    let audit = audit_allowing(paths, &["authentication_none:GET /a", "danger"]);
    assert_eq!((audit.findings.len(), audit.findings[0].path.as_deref()), (1, Some("/b")));
    for wrong in ["", "all", "unusable", "authentication-none"] {
        assert!(wrong.parse::<Allowance>().is_err(), "{wrong:?}");
    }
}
