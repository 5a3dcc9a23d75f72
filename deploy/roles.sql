-- The roles and the database of docs/deploy.md#postgresql, made by PostgreSQL's image when its volume is empty.
SET log_statement = 'none';
SET log_min_error_statement = 'panic'; -- no password gets into the log, not even with a mistake
\set owner_password `cat /secrets/corral_owner`
\set app_password `cat /secrets/corral_app`
CREATE ROLE corral_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE corral_app LOGIN PASSWORD :'app_password';
CREATE DATABASE corral OWNER corral_owner;
REVOKE ALL ON DATABASE corral FROM PUBLIC;
GRANT CONNECT ON DATABASE corral TO corral_app;
ALTER ROLE corral_app SET statement_timeout = '5s';
ALTER ROLE corral_app SET lock_timeout = '2s';
ALTER ROLE corral_app SET idle_in_transaction_session_timeout = '10s';
