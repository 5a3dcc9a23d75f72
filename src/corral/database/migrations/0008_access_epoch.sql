-- A random number that each restore of a backup sets anew. The keyed hashes of everything that lets somebody in contain
-- it, so that no session, link, invitation, token or grant from before matches afterwards, even if its row is put back.

-- NULL: never restored, and the keyed hashes are those of the releases before.
ALTER TABLE corral.instance ADD COLUMN access_epoch uuid;
