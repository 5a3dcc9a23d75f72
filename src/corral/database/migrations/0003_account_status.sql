-- What Alpaca calls the account's status, as of the last check of its keys
-- depends: 0002_staying_in_charge

-- migrate: apply

SET LOCAL lock_timeout = '5s';

ALTER TABLE corral.credentials ADD COLUMN account_status text CHECK (length(account_status) <= 64);
GRANT UPDATE (account_status) ON corral.credentials TO corral_app;

-- migrate: rollback

ALTER TABLE corral.credentials DROP COLUMN account_status;
