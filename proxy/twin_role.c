/* The analyst's role on the twin server: made at the first login, powerless, with a password where
 * the server is external. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/twin.h"

enum { ROLE_CONNECTIONS_MAX = 200 };

/* Names of roles. A name is handed over as hexadecimal digits, so no character of it can end a
 * literal. */
static void hexadecimal(const char *text, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (const char *at = text; *at != '\0'; at++) {
        *out++ = digits[(unsigned char)*at >> 4];
        *out++ = digits[(unsigned char)*at & 15];
    }
    *out = '\0';
}

char *twin_role_sql(const char *analyst, const char *database, uint32_t database_oid,
                    const char *verifier)
{
    static const char format[] =
        "DO $role$ DECLARE"
        "  v_role text := pg_catalog.convert_from(pg_catalog.decode('%s', 'hex'), 'UTF8');"
        "  v_password text := pg_catalog.convert_from(pg_catalog.decode('%s', 'hex'), 'UTF8');"
        "  v_database text;"
        "  v_kept text;"
        "  v_super bool;"
        "BEGIN"
        "  IF pg_catalog.octet_length(v_role) NOT BETWEEN 1 AND 63 OR v_role ~ '^(pg_|pgveil_)' THEN"
        "    RAISE EXCEPTION 'this cannot be an analyst''s name';"
        "  END IF;"
        "  v_database := pg_catalog.convert_from(pg_catalog.decode('%s', 'hex'), 'UTF8');"
        /* The login goes by the name: it must be that of the catalogue's twin still. */
        "  PERFORM FROM pg_catalog.pg_database WHERE oid = %u AND datname = v_database;"
        "  IF NOT FOUND THEN"
        "    RAISE EXCEPTION 'the twin database is gone' USING ERRCODE = '" TWIN_GONE "';"
        "  END IF;"
        "  PERFORM pg_catalog.pg_advisory_xact_lock(7091806402);" /* two logins at once */
        "  SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
        "    INTO v_super FROM pg_catalog.pg_roles WHERE rolname = v_role;"
        "  IF v_super IS NULL THEN"
        "    EXECUTE pg_catalog.format('CREATE ROLE %%I LOGIN INHERIT IN ROLE pgveil_analyst"
        " CONNECTION LIMIT %d', v_role);"
        "  ELSIF v_super OR NOT pg_catalog.pg_has_role(v_role, 'pgveil_analyst', 'USAGE') THEN"
        "    RAISE EXCEPTION 'this role is not an analyst''s';"
        "  END IF;"
        "  IF v_password <> '' THEN"
        "    SELECT rolpassword INTO v_kept FROM pg_catalog.pg_authid WHERE rolname = v_role;"
        "    IF v_kept IS DISTINCT FROM v_password THEN"
        "      EXECUTE pg_catalog.format('ALTER ROLE %%I PASSWORD %%L', v_role, v_password);"
        "    END IF;"
        "  END IF;"
        "  IF NOT pg_catalog.has_database_privilege(v_role, v_database, 'CONNECT')"
        "    OR NOT pg_catalog.has_database_privilege(v_role, v_database, 'TEMPORARY') THEN"
        "    EXECUTE pg_catalog.format('GRANT CONNECT, TEMPORARY ON DATABASE %%I TO %%I',"
        "      v_database, v_role);"
        "  END IF;"
        "END $role$";
    const char *kept = verifier != NULL ? verifier : "";
    char *role = malloc(2 * strlen(analyst) + 1), *password = malloc(2 * strlen(kept) + 1);
    char *name = malloc(2 * strlen(database) + 1);
    char *sql = NULL;
    if (role == NULL || password == NULL || name == NULL)
        abort();
    hexadecimal(analyst, role);
    hexadecimal(kept, password);
    hexadecimal(database, name);
    if (asprintf(&sql, format, role, password, name, database_oid, ROLE_CONNECTIONS_MAX) < 0)
        abort();
    free(name);
    free(role);
    free(password);
    return sql;
}
