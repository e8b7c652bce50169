/* httpd's session cache as its mod_ssl uses it: the provider "shmcb", under the mutex "ssl-cache".
 * A child does not serve clients: it works for the comparison, in the code that all workers share. */
#include <dlfcn.h>

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "ap_mpm.h"
#include "ap_provider.h"
#include "ap_socache.h"
#include "util_mutex.h"

#define MUTEX "ssl-cache"

/* src/stores/httpd.rs knows these two as well. */
struct cache {
    /* 1: found, and `len` is the session's; 0: not found; less: an error. */
    int (*get)(const unsigned char *id, unsigned char *into, unsigned int *len);
    int (*put)(const unsigned char *id, unsigned char *session, unsigned int len);
};
typedef int work_fn(const char *door, const struct cache *cache);

enum { ID_BYTES = 32 };

static const ap_socache_provider_t *provider;
static ap_socache_instance_t *instance;
static apr_global_mutex_t *mutex;
static server_rec *server;
static apr_pool_t *pool;
static const char *door, *library;
static work_fn *work;

static int get(const unsigned char *id, unsigned char *into, unsigned int *len)
{
    apr_status_t status = apr_global_mutex_lock(mutex);
    if (status != APR_SUCCESS)
        return -1;
    status = provider->retrieve(instance, server, id, ID_BYTES, into, len, pool);
    apr_global_mutex_unlock(mutex);
    return status == APR_SUCCESS ? 1 : status == APR_NOTFOUND ? 0 : -1;
}

static int put(const unsigned char *id, unsigned char *session, unsigned int len)
{
    apr_time_t expiry = apr_time_now() + apr_time_from_sec(3600);
    apr_status_t status = apr_global_mutex_lock(mutex);
    if (status != APR_SUCCESS)
        return -1;
    status = provider->store(instance, server, id, ID_BYTES, expiry, session, len, pool);
    apr_global_mutex_unlock(mutex);
    return status == APR_SUCCESS;
}

static const struct cache cache = { get, put };

static const char *set_cache(cmd_parms *cmd, void *unused, const char *arg)
{
    provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, "shmcb", AP_SOCACHE_PROVIDER_VERSION);
    if (!provider)
        return "mod_socache_shmcb is not loaded";
    return provider->create(&instance, arg, cmd->temp_pool, cmd->pool);
}

static const char *set_door(cmd_parms *cmd, void *unused, const char *arg)
{
    door = arg;
    return NULL;
}

static const char *set_library(cmd_parms *cmd, void *unused, const char *arg)
{
    library = arg;
    return NULL;
}

static int pre_config(apr_pool_t *p, apr_pool_t *log_pool, apr_pool_t *temp)
{
    return ap_mutex_register(p, MUTEX, NULL, APR_LOCK_DEFAULT, 0) == APR_SUCCESS ? OK : DONE;
}

static int post_config(apr_pool_t *p, apr_pool_t *log_pool, apr_pool_t *temp, server_rec *s)
{
    /* As in mod_ssl. */
    struct ap_socache_hints hints = { 150, ID_BYTES, apr_time_from_sec(30) };
    void *handle;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    if (ap_global_mutex_create(&mutex, NULL, MUTEX, NULL, s, p, 0) != APR_SUCCESS)
        return DONE;
    if (provider->init(instance, "mod_ssl-sess", &hints, s, p) != APR_SUCCESS)
        return DONE;
    /* Here, because a child may be a user who cannot read it. */
    handle = dlopen(library, RTLD_NOW);
    work = handle ? (work_fn *)dlsym(handle, "shmtls_bench_peers_work") : NULL;
    if (!work)
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "%s", dlerror());
    return work ? OK : DONE;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    server = s;
    pool = p;
    if (apr_global_mutex_child_init(&mutex, apr_global_mutex_lockfile(mutex), p) == APR_SUCCESS)
        work(door, &cache);
    /* The comparison is over, and no other child is wanted. */
    exit(APEXIT_CHILDFATAL);
}

static void hooks(apr_pool_t *p)
{
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_LAST);
}

static const command_rec commands[] = {
    AP_INIT_TAKE1("PeersCache", set_cache, NULL, RSRC_CONF, "as SSLSessionCache, without shmcb:"),
    AP_INIT_TAKE1("PeersDoor", set_door, NULL, RSRC_CONF, "the socket where work is to be had"),
    AP_INIT_TAKE1("PeersLibrary", set_library, NULL, RSRC_CONF, "the worker's code"),
    { NULL }
};

AP_DECLARE_MODULE(shmtls_bench_peers) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, commands, hooks
};
