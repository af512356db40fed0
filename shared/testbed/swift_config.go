package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// swiftAccounts is how many accounts an instance knows. Each test takes a new
// one, so container names such as 2016-06-01 never meet.
const swiftAccounts = 4000

// swiftKey is the password of every account.
const swiftKey = "testing"

// The pipeline is that of a usual cluster. tempauth gives v1 tokens.
//
// The time-outs are long because a busy machine of two cores must not turn
// into errors, neither on the way to the nodes nor to memcached, without which nobody
// is logged in: there is one node only, so Swift cannot ask another one, and a
// container that missed an update would show a wrong listing for good.
const proxyConf = `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %[1]s
workers = 0
user = %[2]s
swift_dir = %[3]s
client_timeout = 120
[pipeline:main]
pipeline = catch_errors healthcheck proxy-logging cache listing_formats bulk tempauth copy slo dlo symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
conn_timeout = 20
node_timeout = 60
error_suppression_interval = 0
error_suppression_limit = 1000000
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:%[4]s
memcache_max_connections = 50
connect_timeout = 20
pool_timeout = 20
io_timeout = 20
error_suppression_interval = 0
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
rate_limit_segments_per_sec = 10000
[filter:dlo]
use = egg:swift#dlo
rate_limit_segments_per_sec = 10000
[filter:symlink]
use = egg:swift#symlink
[filter:tempauth]
use = egg:swift#tempauth
`

const storageConf = `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %[1]s
workers = 0
user = %[2]s
swift_dir = %[3]s
devices = %[3]s/srv
mount_check = false
fallocate_reserve = 0
db_preallocation = off
log_level = WARNING
conn_timeout = 20
node_timeout = 60
container_update_timeout = 60
[pipeline:main]
pipeline = %[4]s-server
[app:%[4]s-server]
use = egg:swift#%[4]s
`

// swiftPorts maps each server of an instance to its port on loopback.
type swiftPorts map[string]string

// writeSwiftConfig writes the configuration of the four servers.
func writeSwiftConfig(dir, user string, ports swiftPorts) error {
	var proxy strings.Builder
	fmt.Fprintf(&proxy, proxyConf, ports["proxy"], user, dir, ports["memcached"])
	for n := range swiftAccounts {
		fmt.Fprintf(&proxy, "user_%s_tester = %s .admin\n", swiftAccountName(n), swiftKey)
	}
	files := map[string]string{"proxy": proxy.String()}
	for _, server := range []string{"account", "container", "object"} {
		files[server] = fmt.Sprintf(storageConf, ports[server], user, dir, server)
	}
	for server, content := range files {
		if err := os.WriteFile(filepath.Join(dir, server+".conf"), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write configuration of Swift: %w", err)
		}
	}
	return nil
}

func swiftAccountName(n int) string { return fmt.Sprintf("t%04d", n) }
