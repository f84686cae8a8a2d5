-- The identity engine's memory: what records were before they changed, which keys join and why,
-- what a person should look at, and under which guards and decisions all of it was made.
CREATE TABLE silver.contact_changes (
    record_id VARCHAR, email_key VARCHAR, phone_key VARCHAR, source_key VARCHAR
);

CREATE TABLE silver.key_status (
    kind VARCHAR, key VARCHAR, status VARCHAR, reason VARCHAR, records BIGINT, other_keys BIGINT,
    first_names BIGINT, since TIMESTAMPTZ
);

CREATE TABLE silver.identity_findings (
    finding VARCHAR, customer_ids VARCHAR[], records VARCHAR[], kind VARCHAR, key VARCHAR,
    since TIMESTAMPTZ
);

CREATE TABLE silver.identity_state (
    guards VARCHAR,
    decisions STRUCT(
        id BIGINT, kind VARCHAR, email_key VARCHAR, phone_key VARCHAR, payload VARCHAR
    )[]
);

ALTER TABLE silver.customer_xref ALTER key_hash TYPE UBIGINT USING NULL;

-- The lineage is a view now, over the choices of every field.
DROP TABLE IF EXISTS silver.customer_lineage;
