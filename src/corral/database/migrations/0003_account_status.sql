-- What Alpaca calls the account's status, as of the last check of its keys

ALTER TABLE corral.credentials ADD COLUMN account_status text CHECK (length(account_status) <= 64);
GRANT UPDATE (account_status) ON corral.credentials TO corral_app;
