#!/bin/sh
# Makes deploy/secrets/: random secrets for compose.yaml, or for `kubectl create secret` (README.md says how). One
# folder for each Secret, one file for each key. What is there stays, so it may be run again.
set -eu
cd "$(dirname "$0")"

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# write FILE VALUE. Containers run as other users than you, hence 0444; the folder keeps everybody else out.
write() {
    if [ ! -s "secrets/$1" ]; then
        printf '%s\n' "$2" >"secrets/$1.new"
        chmod 0444 "secrets/$1.new"
        mv "secrets/$1.new" "secrets/$1"
    fi
}

umask 077
mkdir -p secrets/sluice secrets/postgres secrets/redis

write postgres/POSTGRES_PASSWORD "$(random)"
write postgres/SLUICE_PASSWORD "$(random)"
write redis/auth.conf "requirepass $(random)"

redis_password=$(cut -d ' ' -f 2 secrets/redis/auth.conf)
write sluice/SECRET_KEY "$(random)"
write sluice/DATABASE_URL "postgresql://sluice:$(cat secrets/postgres/SLUICE_PASSWORD)@postgres:5432/sluice"
write sluice/REDIS_URL "redis://:$redis_password@redis-cache:6379/0"
write sluice/TASKS_REDIS_URL "redis://:$redis_password@redis-tasks:6379/0"
