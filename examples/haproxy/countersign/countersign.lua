-- Asks Countersign's edge about a request. Load it with `lua-load`; the action `lua.countersign` reads what to ask from
-- the variable txn.countersign_question and sets txn.countersign to "permitted", or answers with the refusal.
-- Whoever calls it must let nothing pass without that variable, since HAProxy goes on when Lua fails.

-- Where haproxy.cfg hands on to the edge.
local SOCKET = "unix@countersign.sock"

-- In milliseconds; longer than haproxy.cfg gives the edge, so that it is haproxy.cfg that ends the wait, once.
local TIMEOUT = 10000

-- What the edge decides by; everything else of the request stays here.
local ASKED = {
    "authorization",
    "x-api-key",
    "attestation-result",
    "attestation-proof",
    "dpop",
    "oauth-client-attestation",
    "oauth-client-attestation-pop",
    "client-cert",
}

-- What the API learns.
local IDENTITY = {
    "x-attested-instance",
    "x-attested-client",
    "x-attested-tier",
    "x-attested-assurance",
    "x-attested-protection",
    "x-attested-subject",
    "x-attested-scope",
    "x-attested-content",
    "x-attested-replay",
    "attestation-verdict",
}

-- What the client learns with the API's answer.
local TOLD = {
    ["oauth-client-attestation-challenge"] = "txn.countersign_challenge",
    ["dpop-nonce"] = "txn.countersign_dpop_nonce",
    ["www-authenticate"] = "txn.countersign_authenticate",
}

-- What the client learns with a refusal.
local REFUSAL = {
    "www-authenticate",
    "oauth-client-attestation-challenge",
    "dpop-nonce",
    "retry-after",
    "cache-control",
    "date",
}

-- HAProxy counts lines from 0, httpclient's answers too; a list for httpclient may count from 1.
local function lines(headers, name)
    local found = {}
    local values = headers[name]
    local index = 0
    while values and values[index] do
        found[#found + 1] = values[index]
        index = index + 1
    end
    return found
end

local function question(txn)
    local asked = {
        ["x-original-method"] = { txn.f:method() },
        ["x-original-uri"] = { txn.f:pathq() },
        ["x-original-source"] = { txn.f:src() },
    }
    local sent = txn.http:req_get_headers()
    for _, name in ipairs(ASKED) do
        -- Every line, so that the edge sees what was sent twice.
        local values = lines(sent, name)
        if #values > 0 then
            asked[name] = values
        end
    end
    return asked
end

local function refuse(txn, status, headers)
    local reply = txn:reply({ status = status })
    for _, name in ipairs(REFUSAL) do
        for _, value in ipairs(lines(headers, name)) do
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

local function check(txn)
    local answer = core.httpclient():get({
        url = txn:get_var("txn.countersign_question"),
        dst = SOCKET,
        headers = question(txn),
        timeout = TIMEOUT,
    })
    local status = answer and answer.status
    if status == 200 then
        for _, name in ipairs(IDENTITY) do
            txn.http:req_set_header(name, lines(answer.headers, name)[1] or "")
        end
        for name, variable in pairs(TOLD) do
            local value = lines(answer.headers, name)[1]
            if value then
                txn:set_var(variable, value)
            end
        end
        txn:set_var("txn.countersign", "permitted")
    elseif status and status >= 400 and status < 500 then
        refuse(txn, status, answer.headers)
    end
    -- Anything else is trouble, and the configuration answers it.
end

core.register_action("countersign", { "http-req" }, check)
