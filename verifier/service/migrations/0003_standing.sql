-- What the last appraisal found of an instance, and what was seen of it before.
ALTER TABLE instance ADD COLUMN trust_vector TEXT NOT NULL DEFAULT '{}';
ALTER TABLE instance ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
ALTER TABLE instance ADD COLUMN history TEXT NOT NULL DEFAULT '{}';
-- Every constraint with its outcome, where the policy was asked.
ALTER TABLE decision ADD COLUMN appraisal TEXT NOT NULL DEFAULT 'null';
