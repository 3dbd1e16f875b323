// Written by regctl. Changes belong in /srv/regctl/templates/mongo/init/regctl.js.tmpl
// MongoDB's image runs this once, when its directory is empty. It makes the
// account of the auth server, which may do nothing outside its own database.
db.getSiblingDB("regctl").createUser({
  user: "regctl",
  pwd: require("fs").readFileSync("/run/secrets/mongo-password", "utf8").trim(),
  roles: [{ role: "readWrite", db: "regctl" }],
});
