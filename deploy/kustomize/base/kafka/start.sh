#!/bin/bash
# Starts one broker (KRaft: each is a controller, too). Its number is that of its pod: kafka-0, kafka-1, …
#
# KAFKA_BROKERS (1) is how many there are; a majority of them must run. With three, every event lies on three disks and
# is acknowledged when two have it.
set -euo pipefail

folder=$(dirname "$0")
brokers=${KAFKA_BROKERS:-1}
number=${HOSTNAME##*-}
settings=${LOG_DIR:-/tmp}/server.properties
copies=$((brokers < 3 ? brokers : 3))

voters=
for ((other = 0; other < brokers; other++)); do
    voters+=${voters:+,}$other@kafka-$other.kafka:9093
done

{
    cat "$folder/server.properties"
    echo "node.id=$number"
    echo "advertised.listeners=BROKER://kafka-$number.kafka:9092"
    echo "controller.quorum.voters=$voters"
    for name in default.replication.factor offsets.topic.replication.factor transaction.state.log.replication.factor; do
        echo "$name=$copies"
    done
    for name in min.insync.replicas transaction.state.log.min.isr; do
        echo "$name=$((copies > 1 ? copies - 1 : 1))"
    done
} >"$settings"

# No secret: it only keeps the disks of two installations apart.
"$KAFKA_HOME/bin/kafka-storage.sh" format --ignore-formatted --config "$settings" \
    --cluster-id "${KAFKA_CLUSTER_ID:?}"
exec "$KAFKA_HOME/bin/kafka-server-start.sh" "$settings"
