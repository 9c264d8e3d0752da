package peer;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import java.util.List;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * HAPI FHIR's JPA server, R4, at http://127.0.0.1:PORT/fhir. Storage, search, transactions, capability statement and
 * authorization are HAPI's own with its own defaults: what is here only puts its parts together, as its
 * documentation leaves to whoever deploys it.
 *
 * <p>One argument: the port. Tokens come from the environment: WRITERS, separated by blanks, may do everything, READER
 * may read.
 */
public final class HapiServer {

    /** The starter's `supported_resource_types`: with every type its capability statement takes 1.5 MB a read. */
    private static final List<String> TYPES =
            List.of(
                    "Appointment", "Slot", "Schedule", "Patient", "Practitioner", "PractitionerRole", "Device", "Location",
                    "HealthcareService", "SearchParameter");

    private HapiServer() {}

    public static void main(String[] arguments) throws Exception {
        ApplicationContext beans = new AnnotationConfigApplicationContext(Storage.class);
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[0]));
        server.addConnector(connector);
        ServletContextHandler context = new ServletContextHandler();
        context.addServlet(new ServletHolder(fhir(beans)), "/fhir/*");
        server.setHandler(context);
        server.start();
        server.join();
    }

    private static RestfulServer fhir(ApplicationContext beans) {
        RestfulServer fhir = new RestfulServer(beans.getBean(FhirContext.class));
        beans.getBean(DaoRegistry.class).setSupportedResourceTypes(TYPES);
        fhir.registerProviders(beans.getBean(ResourceProviderFactory.class).createProviders());
        fhir.registerProvider(beans.getBean(IJpaSystemProvider.class));
        fhir.setServerConformanceProvider(
                new JpaCapabilityStatementProvider(
                        fhir,
                        beans.getBean(IFhirSystemDao.class),
                        beans.getBean(JpaStorageSettings.class),
                        beans.getBean(ISearchParamRegistry.class),
                        beans.getBean(IValidationSupport.class)));
        fhir.setDefaultResponseEncoding(EncodingEnum.JSON);
        fhir.setPagingProvider(beans.getBean(DatabaseBackedPagingProvider.class));
        fhir.registerInterceptor(new Tokens(System.getenv("WRITERS"), System.getenv("READER")));
        return fhir;
    }
}
