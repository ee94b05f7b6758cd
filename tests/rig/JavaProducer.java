import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Sends each line of standard input to a topic, as a key, and prints the partition that Kafka's own producer took. */
public class JavaProducer {
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0]);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        ByteArraySerializer bytes = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, bytes, bytes)) {
            for (String key = lines.readLine(); key != null; key = lines.readLine()) {
                byte[] encoded = key.getBytes(StandardCharsets.UTF_8);
                System.out.println(producer.send(new ProducerRecord<>(arguments[1], encoded, null)).get().partition());
            }
        }
    }
}
